import numpy as np
import pytest

from pyimagesearch import gap
from pyimagesearch.gap import count_copies, in_words, split_gap, table

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


def history(errors=(), val_loss=1, **parts):
    """A history whose gap has these parts, and else zeros, with these errors."""
    losses = dict(zip(gap.REASONS, [*gap.LOSSES[:-1], "inference_mode_loss"]))
    loss = np.full(len(next(iter(parts.values()))), float(val_loss))
    measured = {"val_loss": loss}
    for name, of in reversed(losses.items()):
        if name in parts or of not in gap.OPTIONAL:
            measured[of] = loss = loss + parts.get(name, 0)
    return measured | {f"{name}_error": errors[name] for name in errors}


def words_of(**parts):
    return in_words(history(**parts))


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
        with pytest.raises(ValueError, match=rf"\(missing: {name}\): give .*LossGap"):
            split_gap({**THREE, name: short})
    with pytest.raises(ValueError, match="loss, training_mode_loss"):
        split_gap({})


def test_the_table_has_the_losses_the_gap_the_parts_and_their_means():
    assert [line.split() for line in table(THREE).splitlines()] == [
        ["regular-", "memoriz."],
        ["epoch", "loss", "val_loss", "gap", "timing", "ization", "and", "data"],
        ["1", "0.5000", "0.4000", "0.1000", "0.1500", "0.0500", "-0.1000"],
        ["2", "0.2500", "0.3000", "-0.0500", "-0.0100", "0.0600", "-0.1000"],
        ["mean", "0.3750", "0.3500", "0.0250", "0.0700", "0.0550", "-0.1000"],
    ]


def test_a_table_fits_into_a_terminal_and_has_each_name_above_its_numbers():
    lines = table({name: SIX[name] for name in SIX if name[:3] != "fit"}).splitlines()
    assert {len(line) for line in lines} == {len(lines[0])} and len(lines[0]) <= 80
    assert lines[0].split() == ["regular-", "batch", "memori-"]
    assert lines[1].split()[-4:] == ["ization", "norm.", "zation", "data"]
    assert lines[2].split()[-5:] == ["0.1500", "0.0300", "0.0200", "-0.0400", "-0.0600"]
    assert "augment." in table(SIX)


def test_the_last_line_has_the_errors_of_the_last_epoch_below_their_parts():
    errors = {"timing_error": [0.3, 0.004], "regularization_error": [0.1, 0.002]}
    lines = table({**THREE, **errors}).splitlines()
    assert lines[-1].split() == ["+-", "0.0040", "0.0020", "nan"]
    assert lines[-1].index("0.0040") == lines[-2].index("0.0700")
    assert lines[:-1] == table(THREE).splitlines()


def test_it_names_the_largest_part_and_what_is_against_it_at_first_and_at_last():
    parts = {"timing": [0.6, -0.02, 0.01], "regularization": [0.5, 0.04, 0.06]}
    first, last = words_of(**parts, data=[-1, -0.07, -0.09]).splitlines()
    assert first == (
        "In epoch 1 the training loss is 0.1000 above the validation loss, most of all "
        "because of timing (+0.6000): the training loss was higher earlier in the "
        "epoch, when it was measured. Against it: data (-1.0000)."
    )
    assert last == (
        "In epoch 3 the training loss is 0.0200 below the validation loss, most of all "
        "because of data (-0.0900): the validation data are harder, or prepared "
        "differently. Against it: regularization (+0.0600), timing (+0.0100)."
    )


@pytest.mark.parametrize(
    "name, above, below",
    [
        ("timing", "was higher earlier", "was lower earlier"),
        ("augmentation_and_weights", "`fit` raises", "`fit` lowers"),
        ("regularization", "such as dropout, raises", "such as dropout, lowers"),
        ("batch_normalization", "own statistics do worse", "moving averages do worse"),
        ("memorization", "held-out data are easier", "its training data, or held-out"),
        ("data", "are easier, or copies", "are harder, or prepared differently"),
        ("memorization_and_data", "are easier, or copies", "its training data, or the"),
    ],
)
def test_each_sign_of_a_part_has_its_own_sentence(name, above, below):
    with_held_out = {"data": [0]} if name == "memorization" else {}
    for size, reason in [(0.2, above), (-0.2, below)]:
        words = words_of(**with_held_out, **{name: [size]})
        assert f"most of all because of {name.replace('_', ' ')} ({size:+.4f})" in words
        assert reason in words


def test_what_may_be_chance_is_no_reason_and_what_would_tell_is_said():
    parts = {"timing": [0.01], "regularization": [0.05], "memorization": [-0.05]}
    parts["data"] = [0.084]
    errors = {"timing": [0.006], "regularization": [0.004], "memorization": [0.03]}
    assert words_of(errors={**errors, "data": [0.08]}, **parts) == (
        "In epoch 1 the training loss is 0.0940 above the validation loss. The largest "
        "part is data (+0.0840 +- 0.0800), but this may be chance: more validation or "
        "held-out data would tell. Beyond chance is regularization (+0.0500 +- 0.0040)"
        ": what is on in training mode, such as dropout, raises the loss."
    )
    words = words_of(errors={**errors, "data": [0.04]}, **parts)
    assert "most of all because of data (+0.0840 +- 0.0400): the validation" in words
    words = words_of(timing=[0.1], data=[-0.02], errors={"timing": [0.051]})
    assert "may be chance: more measured training data would tell." in words
    assert "Against it: data (-0.0200)." in words and "Beyond" not in words
    for unknown in ([], [NAN]):
        words = words_of(regularization=[0.2], errors={"regularization": unknown})
        assert "because of regularization (+0.2000): " in words


LOSS = [2, 1, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4]


def late(timing, loss=LOSS, **more):
    return words_of(timing=timing, data=np.array(loss) - 1 - timing, **more)


def test_timing_that_is_too_large_or_of_the_wrong_sign_is_no_reason():
    for timing in (0.9, -0.9):
        words = late(np.array([timing] * 6 + [NAN, timing]))
        assert "Timing is more than the time of measurement can make it" in words
        assert "because of timing" not in words
    words = late(np.full(8, 0.9), np.array(LOSS) + 2)
    assert "is timing (+0.9000), but this may be something else. Beyond" in words
    assert "fit_data" in words and "validation_split" in words


def test_timing_of_a_plain_training_is_not_doubted():
    halves = -np.diff(LOSS, prepend=3) / 2
    for words in [
        late(halves),
        late(halves * 3.9),
        late(np.full(8, 0.06), [*LOSS[:4], *[0.69] * 4]),  # too large, but small
        late(np.full(8, 0.9), errors={"timing": [0.5] * 8}),  # may be chance
        late(np.full(5, 0.9), LOSS[:5]),  # too few epochs to say
    ]:
        assert "more than the time" not in words


def test_moving_averages_that_lag_are_said_with_what_to_do():
    def words(last, **more):
        parts = {"timing": [0.1, 0.1], "regularization": [0.2, 0.2]}
        return words_of(**parts, batch_normalization=[-0.5, last], **more)

    lagging = words(-0.5)
    assert "because of batch normalization (-0.5000): moving averages do w" in lagging
    assert "Against it: regularization (+0.2000), timing (+0.1000)." in lagging
    advice = "more updates help, a smaller momentum, or computing the statistics anew"
    assert advice in lagging.splitlines()[-1]
    chance = {"batch_normalization": [0.1, 0.3]}
    log_likelihood = words(-0.001, val_loss=-2)
    for text in [words(0.5), words(-0.001), words(-0.5, errors=chance), log_likelihood]:
        assert advice not in text


def test_parts_and_gaps_of_zero_are_not_named():
    words = words_of(timing=[0.1], data=[-1e-6])
    assert words.count("\n") == 0 and "Against it" not in words
    equal = "the two losses are equal to four decimals."
    words = words_of(timing=[1e-7] * 2, data=[-1e-9] * 2)
    assert words == f"In epoch 1 {equal}\nIn epoch 2 {equal}"


@pytest.mark.filterwarnings("error")
def test_epochs_without_a_number_are_left_out():
    losses = history(timing=[1, -1, 0.1, 0])
    losses["loss"] = [NAN, *losses["loss"][:2], INF]
    losses["training_mode_loss"] = [1, 1, 1, INF]
    words = in_words(losses)
    assert words.startswith("In epoch 2") and "\nIn epoch 3" in words
    assert words.endswith("Epochs in which a loss is no finite number are left out.")
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
