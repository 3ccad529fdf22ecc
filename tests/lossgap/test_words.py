import numpy as np
import pytest
from histories import SIX, THREE, history

from pyimagesearch.lossgap import in_words, table
from pyimagesearch.lossgap.parts import PARTS

NAN, INF = float("nan"), float("inf")


def words_of(metric="loss", **parts):
    return in_words(history(metric=metric, **parts), metric)


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


def test_a_line_has_the_errors_of_the_last_epoch_below_it_and_says_so():
    errors = {"timing_error": [0.3, 0.004], "regularization_error": [0.1, 0.002]}
    lines = table({**THREE, **errors}).splitlines()
    assert lines[-2].split() == ["2", "+-", "0.0040", "0.0020"]
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


def test_a_name_with_a_slash_stays_whole_in_the_table():
    assert "val_acc/top1" in table(history(metric="acc/top1", timing=[0.1]), "acc/top1")


def test_every_part_is_named_with_its_reason_what_makes_the_gap_on_top():
    parts = {"timing": [0.6, -0.02, 0.01], "regularization": [0.5, 0.04, 0.06]}
    errors = {"timing": [0.1] * 3, "regularization": [0.01] * 3, "data": [0.02] * 3}
    errors |= {"memorization": [0.02] * 3}
    parts |= {"memorization": [-0.8, 0, 0], "data": [-0.2, -0.07, -0.09]}
    dropout = "training mode (dropout, noise, ...) makes it worse (reason 1)"
    timing = "measured earlier in the epoch, when the network was worse (reason 2)"
    harder = "the validation is harder: its data, their preparation or weights"
    known = "the training data are known, or the held-out data are harder"
    expected = f"""\
In epoch 1 the training loss is 0.1000 above the validation loss:
  timing          +0.6000 +- 0.1000  {timing}
  regularization  +0.5000 +- 0.0100  {dropout}
  against it:
  memorization    -0.8000 +- 0.0200  {known}
  data            -0.2000 +- 0.0200  {harder}
In epoch 3 the training loss is 0.0200 below the validation loss:
  data            -0.0900 +- 0.0200  {harder}
  against it:
  regularization  +0.0600 +- 0.0100  {dropout}
  timing          +0.0100 +- 0.1000  may be chance
  memorization    +0.0000 +- 0.0200
+- is one standard error"""
    assert words_of(**parts, errors=errors).startswith(expected)
    assert "standard error" not in words_of(**parts)


@pytest.mark.parametrize("name", PARTS)
def test_each_sign_of_a_part_has_its_own_sentence_whatever_is_better(name):
    others = {"data": [0.1]} if name == "memorization" else {}
    label, (_, reason, _, worse, better) = name.replace("_", " "), PARTS[name]
    # The tutorial's reasons are why the validation is better.
    worse += f" (reason {reason})" if reason else ""
    for metric, sign in [("loss", 1), ("accuracy", -1), ("kind_loss", 1), ("f1", -1)]:
        for size, why in [(0.2 * sign, worse), (-0.2 * sign, better)]:
            words = words_of(metric, **others, **{name: [size]})
            assert f" {label} {size:+.4f} {why}" in " ".join(words.split())
            if metric != "loss":
                sense = "lower" if sign == 1 else "higher"
                assert f"the validation {metric} ({sense} is better):\n" in words
    assert "worse" in worse or "easier" in worse
    luck = history(metric="luck", **others, **{name: [0.5]})
    assert worse in in_words(luck, "luck")
    assert better in in_words(luck, "luck", higher_is_better=True)


def reason_of(part, error, metric="loss", **more):
    errors = {"regularization": [error], **more}
    words = words_of(metric, regularization=[part], errors=errors, data=[0.0])
    (line,) = [x for x in words.splitlines() if x.startswith("  regularization")]
    return line.split("  ")[-1].strip()


def test_a_reason_is_as_sure_as_its_error():
    why = PARTS["regularization"].worse + " (reason 1)"
    assert reason_of(0.084, 0.0425) == "may be chance"
    assert reason_of(0.084, 0.0415) == reason_of(0.084, 0.0285) == f"probably {why}"
    assert reason_of(0.084, 0.0275) == why
    # A history without errors is explained as if they were small.
    assert "makes it worse" in words_of(regularization=[0.001])


def test_an_error_that_is_unknown_is_no_reason_and_says_why():
    few = "its error is unknown: too few batches"
    known = {name: [0.01] for name in ("timing", "regularization")}
    words = words_of(
        "auc", data=[0.1], errors=known | {"data": [NAN], "validation": [NAN]}
    )
    assert "of the validation too few batches are known" in words
    assert reason_of(0.08, NAN, validation=[0.01]) == few
    assert reason_of(0.08, NAN) == "its error is unknown"
    # LossGap gives no error of the validation to a metric that never has one.
    unknown = {name: [NAN] for name in PARTS}
    series = history(metric="custom", timing=[0.1], errors=unknown)
    words = in_words(series | {"validation_error": [0.1]}, "custom")
    assert "no error is known for a metric like this" in words
    last = {"errors": {"timing": [0.01], "validation": [0.01], "data": [NAN]}}
    words = words_of("f1", timing=[0.1], data=[0.1], **last)
    assert "depends on the batch, and the validation's are of another size" in words


def test_no_line_is_longer_than_125_letters():
    with_held_out = [name for name in PARTS if name != "memorization_and_data"]
    for names in (with_held_out, [*with_held_out[:4], "memorization_and_data"]):
        for size, error in [(0.1, 0.001), (-0.1, 0.04), (0.1, 0.1), (0.1, NAN)]:
            parts = dict.fromkeys(names, [size] * 3)
            errors = dict.fromkeys([*names, "first_batches"], [error] * 3)
            measured = history(errors, val=0.1, **parts)
            words = in_words(measured | {"first_batches_loss": [9, 9, 9]})
            assert max(map(len, words.splitlines())) <= 125


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


def test_equal_losses_are_said_to_be_equal():
    assert "is to four decimals equal to the validation loss:" in words_of(timing=[0.0])
    assert np.isfinite(history(timing=[0.0])["loss"]).all()
