import numpy as np
import pytest

from pyimagesearch.gap import count_copies, in_words, split_gap, table

NAN, INF = float("nan"), float("inf")
THREE = {
    "loss": [0.5, 0.25],
    "val_loss": [0.4, 0.3],
    "training_mode_loss": [0.35, 0.26],
    "inference_mode_loss": [0.3, 0.2],
}
BATCH_STATISTICS = {"batch_statistics_loss": [0.32, 0.21]}
HELD_OUT = {"held_out_loss": [0.34, 0.33]}
EXPECTED = {
    "timing": [0.15, -0.01],
    "regularization": [0.05, 0.06],
    "memorization_and_data": [-0.1, -0.1],
}


def history(timing, regularization, data, batch_normalization=None):
    """A history whose gap has these parts, with a validation loss of 1."""
    inference = 1 + np.array(data, float)
    statistics = inference + np.array(batch_normalization or [0] * len(data), float)
    losses = {
        "loss": statistics + np.array(regularization) + np.array(timing),
        "val_loss": np.ones(len(data)),
        "training_mode_loss": statistics + np.array(regularization),
        "inference_mode_loss": inference,
    }
    if batch_normalization:
        losses["batch_statistics_loss"] = statistics
    return losses


# The numbers


@pytest.mark.parametrize(
    "more, expected",
    [
        ({}, {}),
        (
            BATCH_STATISTICS,
            {"regularization": [0.03, 0.05], "batch_normalization": [0.02, 0.01]},
        ),
        (HELD_OUT, {"memorization": [-0.04, -0.13], "data": [-0.06, 0.03]}),
    ],
    ids=["three", "batch normalization", "held out"],
)
def test_the_parts_add_up_to_the_gap(more, expected):
    parts = split_gap({**THREE, **more})
    np.testing.assert_allclose(sum(parts.values()), [0.1, -0.05])
    assert ("batch_normalization" in parts) == ("batch_statistics_loss" in more)
    assert ("memorization" in parts) == ("data" in parts) == ("held_out_loss" in more)
    assert ("memorization_and_data" in parts) != ("data" in parts)
    for name, part in parts.items():
        np.testing.assert_allclose(part, {**EXPECTED, **expected}[name])


@pytest.mark.parametrize("missing", [*THREE])
def test_a_history_that_was_not_measured_cannot_be_split(missing):
    part = {name: THREE[name] for name in THREE if name != missing}
    with pytest.raises(ValueError, match=f"no {missing}: .*--explain"):
        split_gap(part)


@pytest.mark.parametrize("val_loss", [[0.4], [], [0.4, 0.3, 0.2]])
def test_a_history_that_was_not_validated_each_epoch_cannot_be_split(val_loss):
    with pytest.raises(ValueError, match="validation_freq=1"):
        split_gap({**THREE, "val_loss": val_loss})


# The table


def test_the_table_has_the_losses_the_gap_the_parts_and_their_means():
    lines = [line.split() for line in table(THREE).splitlines()]
    assert lines == [
        ["regular-", "memoriz."],
        ["epoch", "loss", "val_loss", "gap", "timing", "ization", "and", "data"],
        ["1", "0.5000", "0.4000", "0.1000", "0.1500", "0.0500", "-0.1000"],
        ["2", "0.2500", "0.3000", "-0.0500", "-0.0100", "0.0600", "-0.1000"],
        ["mean", "0.3750", "0.3500", "0.0250", "0.0700", "0.0550", "-0.1000"],
    ]


def test_a_table_of_all_parts_fits_into_a_terminal():
    lines = table({**THREE, **BATCH_STATISTICS, **HELD_OUT}).splitlines()
    assert {len(line) for line in lines} == {len(lines[0])} and len(lines[0]) <= 80
    assert lines[0].split() == ["regular-", "batch", "memori-"]
    assert lines[1].split()[-4:] == ["ization", "norm.", "zation", "data"]
    assert lines[2].split()[-5:] == ["0.1500", "0.0300", "0.0200", "-0.0400", "-0.0600"]


# The words


def test_it_names_the_largest_part_what_is_against_it_and_a_change_of_sign():
    words = in_words(
        history([0.15, -0.02, -0.03], [0.05, 0.04, 0.06], [-0.1, -0.07, -0.05])
    )
    first, changed, last, sign = words.splitlines()
    assert first == (
        "In epoch 1 the training loss is 0.1000 above the validation loss, most of all "
        "because of timing (+0.1500): the training loss is measured earlier. Against it: "
        "memorization and data (-0.1000)."
    )
    assert changed.startswith(
        "In epoch 2 the training loss is 0.0500 below the validation loss, most of all "
        "because of memorization and data (-0.0700): the training data are known (-)"
    )
    assert last.startswith("In epoch 3 the training loss is 0.0200 below")
    assert sign == "The gap changes its sign between epochs 1 and 2."


def test_the_part_that_is_named_has_the_sign_of_the_gap():
    words = in_words(history([0.6], [0.5], [-1]))
    assert "0.1000 above" in words and "because of timing (+0.6000)" in words


def test_moving_averages_that_lag_are_said_with_what_to_do():
    advice = "more updates help, larger batches, or a smaller momentum"
    lagging = in_words(history([0.1, 0.1], [0.1, 0.1], [0, 0], [0.5, -0.5]))
    assert "because of batch normalization (-0.5000)" in lagging
    assert "Against it: timing (+0.1000), regularization (+0.1000)." in lagging
    assert lagging.splitlines()[-1].startswith("In epoch 2 batch normalization makes")
    assert advice in lagging
    for last in (0.5, -0.001):
        assert advice not in in_words(history([0, 0], [0, 0], [0, 0], [-0.5, last]))
    negative = history([0], [0], [0])  # a log-likelihood, say
    negative = {name: values - 3 for name, values in negative.items()}
    assert advice not in in_words(negative)


def test_one_epoch_is_one_line_and_a_gap_without_a_change_of_sign_says_so():
    words = in_words(history([0.1], [0.2], [-1e-6]))
    assert words.count("\n") == 0 and "Against it" not in words
    words = in_words(history([0.1, 0.1], [0.2, 0.2], [-0.05, -0.05])).splitlines()
    assert len(words) == 3 and words[-1] == "The gap does not change its sign."


def test_of_several_changes_the_last_is_explained():
    words = in_words(history([1, -1, 1, -1, -1], [0] * 5, [0] * 5)).splitlines()
    assert [line[:10] for line in words[:3]] == [
        "In epoch 1",
        "In epoch 4",
        "In epoch 5",
    ]
    assert words[3] == (
        "The gap changes its sign 3 times, the last time between epochs 3 and 4."
    )


def test_parts_and_gaps_of_zero_are_not_named():
    words = in_words(history([1, 0, 0, -1], [0] * 4, [0] * 4))
    assert "between epochs 1 and 4" in words and "Against it" not in words
    words = in_words(history([1e-7] * 2, [-1e-9] * 2, [0] * 2, [0] * 2))
    equal = "the two losses are equal to four decimals."
    assert words == f"In epoch 1 {equal}\nIn epoch 2 {equal}"


def test_epochs_without_a_number_are_left_out():
    losses = history([1, -1, 0.1, 0], [0] * 4, [0] * 4)
    losses["loss"] = [NAN, *losses["loss"][:2], INF]
    words = in_words(losses)
    assert words.startswith("In epoch 2") and "\nIn epoch 3" in words
    assert words.endswith("Epochs in which a loss is no finite number are left out.")
    diverged = {name: [NAN] for name in THREE}
    assert "the gap cannot be split" in in_words(diverged)
    assert "nan" in table(diverged)


# Leaks


def test_images_copied_from_one_set_into_the_other_are_counted():
    x_train = np.random.default_rng(0).random((20, 4, 4), dtype="float32")
    x_val = np.random.default_rng(1).random((10, 4, 4), dtype="float32")
    assert count_copies(x_train, x_val) == 0
    x_val[[2, 3, 7]] = x_train[[5, 5, 19]]
    assert count_copies(x_train, x_val) == 3
