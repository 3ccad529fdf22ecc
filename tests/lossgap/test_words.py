from types import SimpleNamespace

import pytest
from histories import SIX, THREE, course, history

from pyimagesearch.lossgap import in_words, table
from pyimagesearch.lossgap.parts import PARTS

NAN, INF = float("nan"), float("inf")


def words_of(metric="loss", **parts):
    return in_words(history(metric=metric, **parts), metric)


def test_the_table_has_the_losses_the_gap_the_parts_their_errors_and_means():
    errors = {"timing_error": [0.3, 0.004], "regularization_error": [0.1, 0.002]}
    assert [line.split() for line in table(THREE | errors).splitlines()] == [
        ["regular-", "memoriz."],
        ["epoch", "loss", "val_loss", "gap", "timing", "ization", "and", "data"],
        ["1", "0.5000", "0.4000", "0.1000", "0.1500", "0.0500", "-0.1000"],
        ["2", "0.2500", "0.3000", "-0.0500", "-0.0100", "0.0600", "-0.1000"],
        ["2", "+-", "0.0040", "0.0020", "?"],
        ["mean", "0.3750", "0.3500", "0.0250", "0.0700", "0.0550", "-0.1000"],
    ]
    # It fits into a terminal, but for augmented data.
    five = table({name: SIX[name] for name in SIX if name[:3] != "fit"})
    assert max(map(len, five.splitlines())) <= 80
    resumed = SimpleNamespace(history=THREE, epoch=[24, 25])
    assert table(resumed).splitlines()[2].split()[0] == "25"


@pytest.mark.parametrize("metric", ["sparse_categorical_accuracy", "acc/top1"])
def test_a_table_of_another_metric_has_its_name_above_its_numbers(metric):
    losses = {name.replace("loss", metric): THREE[name] for name in THREE}
    _, names, *rows = table(losses | {"loss": [9, 9]}, metric).splitlines()
    assert names.split()[:3] == ["epoch", metric, f"val_{metric}"]
    assert names.index(metric) + len(metric) == rows[0].index("0.5000") + 6
    assert rows[0].split() == table(THREE).splitlines()[2].split()


def test_every_part_is_named_with_its_reason_what_makes_the_gap_on_top():
    parts = {"timing": [0.6, -0.02, 0.01], "regularization": [0.5, 0.04, 0.06]}
    parts |= {"memorization": [-0.8, 0, 0], "data": [-0.2, -0.07, -0.09]}
    errors = {"timing": 0.1, "regularization": 0.01, "memorization": NAN, "data": 0.04}
    dropout = "training mode (dropout, noise, ...) makes it worse (reason 1)"
    harder = "validation harder, or prepared or weighted otherwise"
    expected = f"""\
In epoch 1 the training loss is 0.1000 above the validation loss:
  timing          +0.6000 +- 0.1000  measured earlier, when the network was worse (reason 2)
  regularization  +0.5000 +- 0.0100  {dropout}
  against it:
  memorization    -0.8000 +- ?       its error is unknown
  data            -0.2000 +- 0.0400  {harder}
In epoch 3 the training loss is 0.0200 below the validation loss:
  data            -0.0900 +- 0.0400  probably {harder}
  against it:
  regularization  +0.0600 +- 0.0100  {dropout}
  timing          +0.0100 +- 0.1000  may be chance
  to four decimals 0: memorization
+- is one standard error"""
    assert words_of(**parts, errors=errors).startswith(expected)


@pytest.mark.parametrize("name", PARTS)
def test_each_sign_of_a_part_has_its_own_sentence_whatever_is_better(name):
    others = {"data": [0.1]} if name == "memorization" else {}
    label, (_, reason, _, worse, better) = name.replace("_", " "), PARTS[name]
    # The tutorial's reasons are why the validation is better.
    worse += f" (reason {reason})" if reason else ""
    for metric, sign in [("loss", 1), ("accuracy", -1), ("kind_loss", 1), ("f1", -1)]:
        for size, why in [(0.2 * sign, worse), (-0.2 * sign, better)]:
            words = words_of(metric, **others, **{name: [size]})
            assert f" {label} {size:+.4f} +- 0.0010 {why}" in " ".join(words.split())
            if metric != "loss":
                sense = "lower" if sign == 1 else "higher"
                assert f"the validation {metric} ({sense} is better):\n" in words
    assert worse != better


def test_who_is_not_told_what_is_better_can_say_it():
    luck = history("luck", timing=[0.5])
    assert "(lower is better, unless you give `higher_is_b" in in_words(luck, "luck")
    words = in_words(luck, "luck", higher_is_better=True)
    assert "(higher is better):" in words and PARTS["timing"].better in words


@pytest.mark.parametrize(
    "error, words", [(0.019, "Nothing shows a fault"), (0.021, "too large to tell")]
)
def test_an_error_is_large_beside_what_an_accuracy_lacks_to_1(error, words):
    values = {"val": [0.7, 0.8], "inference_mode": [0.7, 0.81]}
    accuracy = course("accuracy", error=error, training_mode=[0.5, 0.6], **values)
    assert words in in_words(accuracy, "accuracy")


def test_no_line_is_longer_than_125_letters():
    values = {"val": [0.6, 0.5, 0.9], "fit_data": [0.8, 0.6, 0.4]}
    values |= {"batch_statistics": [0.5, 0.4, 0.55], "held_out": [0.5, 0.45, 0.42]}
    for names in (["val"], ["val", "held_out"], ["val", "fit_data"], values):
        measured = {name: values[name] for name in names} | {"share": 0.5}
        for training in ([0.6, 0.2, 0.3], [0.6, 0.5, 0.95], [9, 9, NAN]):
            for error in (0.001, 0.04, 0.1, NAN):
                series = course(error=error, inference_mode=training, **measured)
                assert max(map(len, in_words(series).splitlines())) <= 125


@pytest.mark.filterwarnings("error")
def test_what_is_not_finite_is_said_and_nothing_more():
    measured = history("f1", timing=[0.3, 0.2, 0.1], data=[0, 0, 0])
    broken = {
        "f1": "training f1",
        "val_f1": "validation f1",
        "held_out_f1": "held-out f1",
    }
    broken["training_mode_loss"] = "training loss"
    for name, which in broken.items():
        for value in (NAN, INF):
            words = in_words(measured | {name: [*measured[name][:2], value]}, "f1")
            start = (
                f"In epoch 3 the {which} is no finite number:\nthe training diverges"
            )
            assert start in words and "Measured alike" not in words
            assert words.endswith("a division by 0).")
    # The loss is named before another metric.
    words = in_words(measured | {"loss": [NAN] * 3, "f1": [NAN] * 3}, "f1")
    assert words.startswith("In epoch 1 the training loss is no finite number:")
    nowhere = {name: [INF] for name in THREE}
    both = "In epoch 1 the training loss and the validation loss are no finite number"
    assert in_words(nowhere).startswith(both) and "nan" in table(nowhere)


def test_of_equal_losses_the_parts_that_cancel_are_named():
    words = words_of(timing=[0.25], memorization_and_data=[-0.25], regularization=[0])
    equal, timing, both, rest = words.splitlines()[:4]
    assert equal.endswith("is to four decimals equal to the validation loss:")
    assert "+0.2500" in timing and "-0.2500" in both
    assert rest == "  to four decimals 0: regularization"
