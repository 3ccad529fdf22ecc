import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from histories import SIX, THREE

from pyimagesearch.lossgap import count_copies, split_gap, standard_errors
from pyimagesearch.lossgap.parts import PARTS


def test_the_parts_are_what_each_loss_is_above_the_next_and_add_up_to_the_gap():
    three = {"timing": [0.15, -0.01], "regularization": [0.05, 0.06]}
    three["memorization_and_data"] = [-0.1, -0.1]
    six = {"timing": [0.05, -0.02], "augmentation_and_weights": [0.1, 0.01]}
    six |= {"regularization": [0.03, 0.05], "batch_normalization": [0.02, 0.01]}
    six |= {"memorization": [-0.04, -0.13], "data": [-0.06, 0.03]}
    for losses, expected in [(THREE, three), (SIX, six)]:
        parts = split_gap(losses)
        assert list(parts) == list(expected)
        for name, part in parts.items():
            np.testing.assert_allclose(part, expected[name])
        np.testing.assert_allclose(sum(parts.values()), [0.1, -0.05])
    assert list(PARTS) == [*six, "memorization_and_data"]


NOT_MEASURED = [
    *[(THREE | {name: []}, "loss", rf"\(missing: {name}; .*LossGap") for name in THREE],
    (THREE | {"loss": [0.4]}, "loss", r"\(missing: loss; measured: loss\): give `fit`"),
    (THREE | {"loss": [[1], [2]]}, "loss", "not one number for each epoch"),
    ({}, "loss", "missing: loss, training_mode_loss, .*measured: none"),
    (
        THREE,
        "auc",
        "gap of auc .*missing: auc, .*measured: loss.: name one of these, or give",
    ),
    ({"training_mode_my_mode_acc": [1]}, "loss", "measured: my_mode_acc"),
]


@pytest.mark.parametrize("history, metric, message", NOT_MEASURED)
def test_what_was_not_measured_in_each_epoch_cannot_be_split(history, metric, message):
    with pytest.raises(ValueError, match=message):
        split_gap(history, metric)


def test_an_error_that_is_not_there_is_unknown():
    errors = standard_errors(THREE | {"timing_error": [0.1, 0.2], "data_error": [1, 1]})
    names = ["timing", "regularization", "memorization_and_data", "validation"]
    assert list(errors) == names and list(errors["timing"]) == [0.1, 0.2]
    assert np.isnan([errors[name] for name in names[1:]]).all()


def test_images_copied_from_one_set_into_the_other_are_counted():
    x_train, x_val = np.random.default_rng(0).random((2, 20, 4, 4), dtype="float32")
    assert count_copies(x_train, x_val) == 0
    x_val[[2, 3, 7]] = x_train[[5, 5, 19]]
    assert count_copies(x_train, x_val) == 3
    for other in (x_val.astype("float64"), x_val[..., np.newaxis]):
        with pytest.raises(ValueError, match="dtypes or shapes"):
            count_copies(x_train, other)


def test_words_and_numbers_need_neither_tensorflow_nor_matplotlib():
    program = f"""import sys, pyimagesearch.lossgap as folder
folder.table({THREE}), folder.in_words({THREE})
assert not {{'keras', 'tensorflow', 'matplotlib'}} & set(sys.modules)
assert not hasattr(folder, 'no such name')"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
