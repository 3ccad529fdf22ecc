import numpy as np
import pytest

from pyimagesearch.explanation import in_words, table

NAN, INF = float("nan"), float("inf")


def parts(timing, regularization, data):
    return {
        "timing": np.array(timing),
        "regularization": np.array(regularization),
        "data": np.array(data),
    }


def test_the_table_has_the_losses_the_gap_the_parts_and_their_means():
    history = {"loss": np.array([0.5, 0.3]), "val_loss": np.array([0.4, 0.35])}
    lines = table(history, parts([0.15, -0.02], [0.05, 0.04], [-0.1, -0.07]))
    assert [line.split() for line in lines.splitlines()] == [
        ["epoch", "loss", "val_loss", "gap", "timing", "regularization", "data"],
        ["1", "0.5000", "0.4000", "0.1000", "0.1500", "0.0500", "-0.1000"],
        ["2", "0.3000", "0.3500", "-0.0500", "-0.0200", "0.0400", "-0.0700"],
        ["mean", "0.4000", "0.3750", "0.0250", "0.0650", "0.0450", "-0.0850"],
    ]


def test_it_names_the_largest_parts_and_what_outweighs_what():
    words = in_words(
        parts([0.15, 0.03, -0.02], [0.05, 0.06, 0.04], [-0.1, -0.05, -0.07])
    )
    first, last, change = words.splitlines()
    assert first == (
        "In epoch 1 the training loss is 0.1000 above the validation loss, and the "
        "largest part of the gap is timing (+0.1500)."
    )
    assert last == (
        "In epoch 3 the training loss is 0.0500 below the validation loss, and the "
        "largest part of the gap is data (-0.0700)."
    )
    assert change == (
        "The gap changes its sign between epochs 2 and 3: in epoch 3, timing (-0.0200) "
        "and data (-0.0700) outweigh regularization (+0.0400)."
    )


def test_a_gap_that_becomes_positive_is_outweighed_by_the_positive_parts():
    last = in_words(parts([0, 0.1], [0.1, 0.1], [-0.3, -0.15])).splitlines()[-1]
    assert last == (
        "The gap changes its sign between epochs 1 and 2: in epoch 2, timing (+0.1000) "
        "and regularization (+0.1000) outweigh data (-0.1500)."
    )


def test_one_epoch_is_one_sentence():
    assert in_words(parts([0.1], [0.2], [-0.05])) == (
        "In epoch 1 the training loss is 0.2500 above the validation loss, and the "
        "largest part of the gap is regularization (+0.2000)."
    )


def test_a_gap_without_a_change_of_sign_says_so():
    words = in_words(parts([0.1, 0.1], [0.2, 0.2], [-0.05, -0.05])).splitlines()
    assert len(words) == 3
    assert words[-1] == "The gap does not change its sign."


def test_of_several_changes_the_last_is_explained():
    last = in_words(parts([1, -1, 1, -1], [0] * 4, [0] * 4)).splitlines()[-1]
    assert last == (
        "The gap changes its sign 3 times, the last time between epochs 3 and 4: in "
        "epoch 4, there is only timing (-1.0000)."
    )


def test_a_gap_of_zero_has_no_sign():
    words = in_words(parts([1, 0, 0, -1], [0] * 4, [0] * 4))
    assert "between epochs 1 and 4: in epoch 4" in words
    words = in_words(parts([1, 0, 0, 1], [0] * 4, [0] * 4))
    assert "does not change its sign" in words
    words = in_words(parts([1, 1], [0, 0], [0, -1]))
    assert "In epoch 2 the training loss is equal to the validation loss" in words


@pytest.mark.parametrize("damage", [NAN, INF, -INF])
def test_epochs_without_a_number_are_left_out(damage):
    words = in_words(
        parts([damage, 1, damage, -1, 0.1], [0] * 5, [0, 0, 0, 0, damage])
    ).splitlines()
    assert [line.split(" the ")[0] for line in words[:2]] == [
        "In epoch 2",
        "In epoch 4",
    ]
    assert "between epochs 2 and 4" in words[2]


def test_a_history_without_any_number_says_so(recwarn):
    words = in_words(parts([NAN, INF], [0, 0], [0, 0]))
    assert words == "No epoch has a gap that is a number: the training diverged."
    losses = {"loss": np.array([NAN, INF]), "val_loss": np.array([0, -INF])}
    table(losses, parts([NAN, INF], [0, 0], [0, -INF]))
    assert not recwarn.list
