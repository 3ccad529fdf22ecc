import numpy as np
import pytest
from histories import history

from pyimagesearch.lossgap import in_words

NAN = float("nan")


def words_of(metric="loss", **parts):
    return in_words(history(metric=metric, **parts), metric)


def test_training_and_validation_are_compared_measured_alike():
    errors = {"memorization_and_data": [0.1, 0.01]}
    words = words_of(memorization_and_data=[0.3, -0.05], val=0.4, errors=errors)
    assert "training data's loss is 0.3500,\n0.0500 +- 0.0100 below the val" in words
    errors["memorization_and_data"][1] = 0.03
    words = words_of("accuracy", memorization_and_data=[0.3, 0.05], errors=errors)
    assert (
        "accuracy is 1.0500,\n0.0500 +- 0.0300 above the validation's, which may"
        in words
    )
    parts = {"memorization": [-0.2, -0.03], "data": [0, -0.05]}
    errors = {"memorization": [0.1, 0.03], "data": [0.1, 0.04]}
    assert "0.0800 +- 0.0500 below" in words_of(errors=errors, **parts)
    assert "0.0800 below" in words_of(**parts)


def best(val, error=0.01, metric="loss", training=None, **more):
    """The line about the best epoch of a validation that went like this."""
    errors = {"validation": [error] * len(val), **more} if error else {}
    data = np.subtract(training, val) if training else np.zeros(len(val))
    parts = {"timing": np.zeros(len(val)), "memorization_and_data": data}
    words = in_words(history(errors, val, metric, **parts), metric)
    return next(x for x in words.splitlines() if x.startswith("val_")), words


def test_where_the_validation_was_best_and_whether_it_has_clearly_risen():
    # Two errors of a difference are 0.0283, three 0.0424.
    training = [0.5, 0.4, 0.3]
    for rise, expected in [
        (0.028, "not clearly risen"),
        (0.029, "probably risen by 0.0290"),
    ]:
        line, words = best([0.6, 0.5, 0.5 + rise], training=training)
        assert f"in epoch 2 of 3 (0.5000), and has {expected} since" in line
        assert ("the network probably overfits" in line) == ("EarlyStopping" in words)
    assert ("EarlyStopping" in words) and "Nothing shows a fault" not in words
    line, _ = best([0.6, 0.5, 0.8], training=training)
    assert line.endswith("and has risen by 0.3000 since: the network overfits.")
    line, words = best([0.6, 0.5, 0.8], training=[0.5, 0.4, 0.7])
    assert line.endswith("it does worse on the training data, too.")
    assert "EarlyStopping" not in words and "a smaller learning rate" in words
    line, _ = best([0.6, 0.8, 0.5], metric="accuracy", training=[0.6, 0.8, 0.9])
    assert (
        "val_accuracy was highest in epoch 2 of 3 (0.8000), and has fallen by" in line
    )


def test_of_equal_epochs_the_latest_counts_and_without_errors_only_the_epoch():
    assert best([0.6, 0.5, 0.5])[0] == "val_loss was lowest in the last epoch."
    assert "lowest in epoch 3 of 4 (" in best([0.5, 0.6, 0.5, 0.6])[0]
    for error in (None, NAN):
        assert (
            best([0.5, 0.6], error)[0]
            == "val_loss was lowest in epoch 1 of 2 (0.5000)."
        )
    # Of an earlier version the error of the part that has it.
    more = {"memorization_and_data": [0.01] * 3}
    line = in_words(
        history(
            more, [0.5, 0.4, 0.6], timing=[0] * 3, memorization_and_data=[0, 0, -0.3]
        )
    )
    assert "risen by 0.2000 since: the network overfits" in line
    with pytest.raises(StopIteration):
        best([0.5])  # of a single epoch there is nothing to say


def advice(part, error, **more):
    name = "data" if "memorization" in more else "memorization_and_data"
    errors = {"timing": [0.01], name: [error], "validation": [0.01]}
    return words_of(timing=[0.5], **{name: [part]}, **more, errors=errors).splitlines()[
        -1
    ]


def test_what_to_do_is_as_sure_as_the_error():
    for more in ({}, {"memorization": [-0.5]}):
        assert "(`count_copies`)" in advice(0.2, 0.05, **more)
        assert "cannot be said" in advice(0.2, NAN, **more)
    words = words_of(
        memorization_and_data=[0.2], errors={"memorization_and_data": [0.08]}
    )
    assert "the validation's data probably do better" in words
    assert "measured alike, the validation's data do not clearly do" in advice(
        0.2, 0.11
    )
    assert "measured alike, the validation's data do not clearly do" in advice(
        -0.2, 0.11
    )
    for error, surely in [(0.05, "the network does better"), (0.08, "probably does")]:
        words = words_of(
            memorization_and_data=[-0.2], errors={"memorization_and_data": [error]}
        )
        assert surely in words and "prepared otherwise" in words


def test_held_out_data_may_hide_that_the_validation_does_better():
    errors = {"memorization": [0.1], "data": [0.1], "memorization_and_data": [0.05]}
    words = words_of(memorization=[0.15], data=[0.15], errors=errors)
    assert "the validation's data do better. Look at the split" in words


def test_whoever_finds_several_faults_says_them_all():
    errors = {"memorization_and_data": [0.01] * 3, "validation": [0.01] * 3}
    parts = {"batch_normalization": [-1.0] * 3, "memorization_and_data": [0.2] * 3}
    words = in_words(history(errors, [0.5, 0.4, 0.9], timing=[0.1] * 3, **parts))
    for fault in ("averages\nlag", "a smaller learning rate", "Look at the split"):
        assert fault in words
    assert "cannot be said" in words_of(memorization_and_data=[0.2])  # without errors


def first_batches(measured, above, error=0.01, metric="loss"):
    first = [9, *(above + measured[f"training_mode_{metric}"][:-1])]
    prefix = "" if metric == "loss" else f"{metric}_"
    errors = {f"{prefix}first_batches_error": [error] * len(first)}
    return in_words({**measured, f"first_batches_{metric}": first, **errors}, metric)


def test_timing_is_in_doubt_where_the_first_batches_show_other_data():
    falling = {"timing": [0.5, 0.4, 0.3, 0.3], "regularization": [0.5, 0.3, 0.2, 0.1]}
    falling = history({"timing": [0.01] * 4}, **falling)
    # Three errors of the sum of three epochs; and the loss falls by 0.4 within these.
    for above, doubted in [(0.02, True), (0.016, False), (-0.16, True), (-0.14, False)]:
        words = first_batches(falling, above)
        assert ("Timing is in doubt" in words) == doubted
        assert ("+0.5000 +- 0.0100  in doubt: see below" in words) == doubted
        assert ("Nothing shows" in words) != doubted
    words = first_batches(falling, 0.21)
    assert (
        "loss is 1.5433 on the data of `fit`, and 1.3333 on those\nof LossGap" in words
    )
    rising = history(timing=[0.1] * 3, regularization=[-0.1, 0, 0.2], metric="accuracy")
    for above, doubted in [(-0.01, False), (-0.03, True), (0.14, False), (0.18, True)]:
        words = first_batches(rising, above, metric="accuracy")
        assert ("Timing is in doubt" in words) == doubted
    worse = history(timing=[0.1] * 3, regularization=[-0.1, 0, 0.2])
    assert "Timing is in doubt" in first_batches(worse, 0.05)
    for measured in (falling, history(timing=[0.1]), history(timing=[0.1, NAN, 0.1])):
        assert "in doubt" not in first_batches(measured, 0, NAN)


def test_moving_averages_that_lag_are_said_with_what_to_do():
    def words(last, **more):
        parts = {"timing": [0.1, 0.1], "regularization": [0.2, 0.2]}
        words = words_of(**parts, batch_normalization=[-0.5, last], **more)
        return " ".join(words.split())

    advice = "its moving averages lag: more updates help, a smaller momentum"
    assert advice in words(-0.5) and "Nothing shows a fault" not in words(-0.5)
    parts = {"timing": [0.1], "batch_normalization": [0.5]}
    assert advice in " ".join(words_of("accuracy", **parts).split())
    chance = {"batch_normalization": [0.1, 0.3]}
    log_likelihood = words(-0.001, val=-2)
    for text in [words(0.5), words(-0.001), words(-0.5, errors=chance), log_likelihood]:
        assert advice not in text
