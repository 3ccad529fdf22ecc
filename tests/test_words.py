import numpy as np
import pytest

from pyimagesearch.lossgap import count_copies, in_words, split_gap, table
from pyimagesearch.lossgap.parts import OPTIONAL, PARTS

NAN, INF = float("nan"), float("inf")
THREE = {
    "loss": [0.5, 0.25],
    "val_loss": [0.4, 0.3],
    "training_mode_loss": [0.35, 0.26],
    "inference_mode_loss": [0.3, 0.2],
}
SIX = THREE | {
    "batch_statistics_loss": [0.32, 0.21],
    "held_out_loss": [0.34, 0.33],
    "fit_data_loss": [0.45, 0.27],
}


MEASURED = dict.fromkeys(part.begins for part in PARTS.values())


def history(errors=(), val=1, metric="loss", **parts):
    """A history whose gap has these parts, and else zeros, with these errors."""
    values = np.full(len(next(iter(parts.values()))), float(val))
    measured = {f"val_{metric}": values}
    for begins in reversed(dict.fromkeys(part.begins for part in PARTS.values())):
        names = [name for name in parts if PARTS[name].begins == begins]
        if names or begins not in OPTIONAL:
            values = values + sum(np.array(parts[name]) for name in names)
            measured[begins + metric] = values
    prefix = "" if metric == "loss" else f"{metric}_"
    return measured | {f"{prefix}{name}_error": errors[name] for name in errors}


def words_of(metric="loss", **parts):
    return in_words(history(metric=metric, **parts), metric)


def test_the_parts_are_what_each_loss_is_above_the_next_and_add_up_to_the_gap():
    three = {"timing": [0.15, -0.01], "regularization": [0.05, 0.06]}
    three["memorization_and_data"] = [-0.1, -0.1]
    six = {"timing": [0.05, -0.02], "augmentation_and_weights": [0.1, 0.01]}
    six |= {"regularization": [0.03, 0.05], "batch_normalization": [0.02, 0.01]}
    six |= {"memorization": [-0.04, -0.13], "data": [-0.06, 0.03]}
    for losses, expected in [(THREE, three), (SIX, six)]:
        parts = split_gap(losses)
        assert set(parts) == set(expected)
        for name, part in parts.items():
            np.testing.assert_allclose(part, expected[name])
        np.testing.assert_allclose(sum(parts.values()), [0.1, -0.05])


@pytest.mark.parametrize("name", THREE)
def test_what_was_not_measured_in_each_epoch_cannot_be_split(name):
    for short in ([], [0.4]):
        with pytest.raises(
            ValueError, match=rf"\(missing: {name}; .*\): give .*LossGap"
        ):
            split_gap({**THREE, name: short})
    with pytest.raises(ValueError, match="loss, training_mode_loss.*measured: none"):
        split_gap({})
    with pytest.raises(ValueError, match="gap of auc .*missing: auc, .*measured: loss"):
        split_gap(THREE, "auc")


def test_the_table_has_the_losses_the_gap_the_parts_and_their_means():
    assert [line.split() for line in table(THREE).splitlines()] == [
        ["regular-", "memoriz."],
        ["epoch", "loss", "val_loss", "gap", "timing", "ization", "and", "data"],
        ["1", "0.5000", "0.4000", "0.1000", "0.1500", "0.0500", "-0.1000"],
        ["2", "0.2500", "0.3000", "-0.0500", "-0.0100", "0.0600", "-0.1000"],
        ["mean", "0.3750", "0.3500", "0.0250", "0.0700", "0.0550", "-0.1000"],
    ]


def test_a_table_fits_into_a_terminal_with_each_name_above_its_numbers():
    lines = table({name: SIX[name] for name in SIX if name[:3] != "fit"}).splitlines()
    assert {len(line) for line in lines} == {len(lines[0])} and len(lines[0]) <= 80
    assert lines[0].split() == ["regular-", "batch", "memori-"]
    assert lines[1].split()[-4:] == ["ization", "norm.", "zation", "data"]
    assert lines[2].split()[-5:] == ["0.1500", "0.0300", "0.0200", "-0.0400", "-0.0600"]
    assert "augment." in table(SIX)


def test_a_line_has_the_errors_of_the_last_epoch_below_it():
    errors = {"timing_error": [0.3, 0.004], "regularization_error": [0.1, 0.002]}
    lines = table({**THREE, **errors}).splitlines()
    assert lines[-2].split() == ["+-", "0.0040", "0.0020"]
    assert lines[-2].index("0.0040") == lines[-1].index("0.0700")
    assert lines[:-2] + lines[-1:] == table(THREE).splitlines()


def test_a_table_of_another_metric_has_its_name_above_its_numbers():
    metric = "sparse_categorical_accuracy"
    losses = {name.replace("loss", metric): THREE[name] for name in THREE}
    above, names, *rows = table(losses | {"loss": [9, 9]}, metric).splitlines()
    assert names.split()[:3] == ["epoch", metric, f"val_{metric}"]
    assert names.index(metric) + len(metric) == rows[0].index("0.5000") + 6
    assert {len(line) for line in [names, *rows]} == {len(above)}
    assert rows[0].split() == table(THREE).splitlines()[2].split()


def test_every_part_is_named_with_its_reason_what_makes_the_gap_on_top():
    parts = {"timing": [0.6, -0.02, 0.01], "regularization": [0.5, 0.04, 0.06]}
    errors = {"timing": [0.1] * 3, "regularization": [0.01] * 3, "data": [0.02] * 3}
    parts |= {"memorization": [-0.8, 0, 0], "data": [-0.2, -0.07, -0.09]}
    dropout = "training mode (dropout, noise, ...) makes it worse"
    harder = "validation is harder: its data, or their preparation"
    known = "training data are known, or held-out data are harder"
    assert (
        words_of(**parts, errors=errors)
        == f"""\
In epoch 1 the training loss is 0.1000 above the validation loss:
  timing          +0.6000 +- 0.1000  measured earlier in the epoch, when it was worse
  regularization  +0.5000 +- 0.0100  {dropout}
  memorization    -0.8000  {known}
  data            -0.2000 +- 0.0200  {harder}
In epoch 3 the training loss is 0.0200 below the validation loss:
  data            -0.0900 +- 0.0200  {harder}
  regularization  +0.0600 +- 0.0100  {dropout}
  timing          +0.0100 +- 0.1000  may be chance: more measured data would tell
  memorization    +0.0000"""
    )


@pytest.mark.parametrize("name", PARTS)
def test_each_sign_of_a_part_has_its_own_sentence_whatever_is_better(name):
    others = {"data": [0.1]} if name == "memorization" else {}
    label, (*_, worse, better) = name.replace("_", " "), PARTS[name]
    for metric, sign in [("loss", 1), ("accuracy", -1), ("kind_loss", 1), ("f1", -1)]:
        for size, reason in [(0.2 * sign, worse), (-0.2 * sign, better)]:
            words = words_of(metric, **others, **{name: [size]})
            assert f" {label} {size:+.4f} {reason}" in " ".join(words.split())
            if metric != "loss":
                sense = "lower" if sign == 1 else "higher"
                assert f"the validation {metric} ({sense} is better):\n" in words
    assert "worse" in worse or "easier" in worse
    luck = history(metric="luck", **others, **{name: [0.5]})
    assert worse in in_words(luck, "luck")
    assert better in in_words(luck, "luck", higher_is_better=True)


def test_what_may_be_chance_or_has_an_unknown_error_is_no_reason():
    parts = {"timing": [0.01], "regularization": [0.05], "memorization": [-0.05]}
    errors = {"timing": [0.006], "regularization": [0.004], "memorization": [NAN]}
    words = words_of(errors=errors | {"data": [0.08]}, **parts, data=[0.084])
    assert words.splitlines()[1:] == [
        "  data            +0.0840 +- 0.0800  may be chance: more measured data would tell",
        f"  regularization  +0.0500 +- 0.0040  {PARTS['regularization'].worse}",
        "  timing          +0.0100 +- 0.0060  may be chance: more measured data would tell",
        "  memorization    -0.0500 +- nan     of unknown error: too few batches, or no mean "
        + "(AUC)",
    ]
    words = words_of(errors=errors | {"data": [0.04]}, **parts, data=[0.084])
    assert f"+0.0840 +- 0.0400  {PARTS['data'].worse}" in words
    # A history without errors is explained as if they were small.
    assert "makes it worse" in words_of(regularization=[0.001])


def test_no_line_is_longer_than_100_letters():
    with_held_out = [name for name in PARTS if name != "memorization_and_data"]
    for names in (with_held_out, [*with_held_out[:4], "memorization_and_data"]):
        for size, error in [(0.1, 0.001), (-0.1, 0.001), (0.1, 0.1), (0.1, NAN)]:
            parts = dict.fromkeys(names, [size] * 3)
            errors = dict.fromkeys([*names, "first_batches"], [error] * 3)
            measured = history(errors, val=0.1, **parts)
            words = in_words(measured | {"first_batches_loss": [9, 9, 9]})
            assert max(map(len, words.splitlines())) <= 100


def first_batches(measured, above, error=0.01, metric="loss"):
    prefix = "" if metric == "loss" else f"{metric}_"
    first = [9, *(above + measured[f"training_mode_{metric}"][:-1])]
    errors = {f"{prefix}first_batches_error": [error] * len(first)}
    return in_words({**measured, f"first_batches_{metric}": first, **errors}, metric)


def test_timing_is_in_doubt_where_the_first_batches_show_other_data():
    falling = {"timing": [0.5, 0.4, 0.3, 0.3], "regularization": [0.5, 0.3, 0.2, 0.1]}
    falling = history(**falling)
    # Three errors of the sum of three epochs; and the loss falls by 0.4 within these.
    for above, doubted in [(0.02, True), (0.016, False), (-0.16, True), (-0.14, False)]:
        words = first_batches(falling, above)
        assert ("Timing is in doubt" in words) == doubted
        assert ("+0.5000  in doubt: see below" in words) == doubted
    words = first_batches(falling, 0.21)
    assert "a loss\nof 1.5433 where those of LossGap have 1.3333" in words
    rising = history(timing=[0.1] * 3, regularization=[-0.1, 0, 0.2], metric="accuracy")
    for above, doubted in [(-0.01, False), (-0.03, True), (0.14, False), (0.18, True)]:
        words = first_batches(rising, above, metric="accuracy")
        assert ("Timing is in doubt" in words) == doubted
    worse = history(timing=[0.1] * 3, regularization=[-0.1, 0, 0.2])
    assert "Timing is in doubt" in first_batches(worse, 0.05)
    for measured in (falling, history(timing=[0.1]), history(timing=[0.1, NAN, 0.1])):
        assert "doubt" not in first_batches(measured, 0, NAN)


def test_moving_averages_that_lag_are_said_with_what_to_do():
    def words(last, **more):
        parts = {"timing": [0.1, 0.1], "regularization": [0.2, 0.2]}
        return words_of(**parts, batch_normalization=[-0.5, last], **more)

    advice = "its moving averages lag: more updates help, a smaller momentum"
    assert advice in words(-0.5).splitlines()[-1]
    parts = {"timing": [0.1], "batch_normalization": [0.5]}
    assert advice in words_of("accuracy", **parts)
    chance = {"batch_normalization": [0.1, 0.3]}
    log_likelihood = words(-0.001, val=-2)
    for text in [words(0.5), words(-0.001), words(-0.5, errors=chance), log_likelihood]:
        assert advice not in text


@pytest.mark.filterwarnings("error")
def test_epochs_without_a_number_are_left_out():
    losses = history(timing=[1, -1, 0.1, 0])
    losses["loss"] = [NAN, *losses["loss"][:2], INF]
    losses["training_mode_loss"] = [1, 1, 1, INF]
    words = in_words(losses)
    assert words.startswith("In epoch 2") and "\nIn epoch 3" in words
    assert words.endswith("Epochs in which a value is no finite number are left out.")
    diverged = {name: [INF] for name in THREE}
    assert "the gap cannot be split" in in_words(diverged)
    assert "nan" in table(diverged)


def test_images_copied_from_one_set_into_the_other_are_counted():
    x_train, x_val = np.random.default_rng(0).random((2, 20, 4, 4), dtype="float32")
    assert count_copies(x_train, x_val) == 0
    x_val[[2, 3, 7]] = x_train[[5, 5, 19]]
    assert count_copies(x_train, x_val) == 3
    for other in (x_val.astype("float64"), x_val[..., np.newaxis]):
        with pytest.raises(ValueError, match="dtypes or shapes"):
            count_copies(x_train, other)
