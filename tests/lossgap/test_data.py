"""What LossGap is given is measured as `fit` would read it: arrays and data sets."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import BATCHES, FEW, TEST, TRAIN, X, Y, eager, fit, network
from keras import layers
from test_watch import Images

from pyimagesearch.lossgap import LossGap, split_gap
from pyimagesearch.lossgap.data import Given


def in_one_order(x, y):
    order = np.lexsort(np.reshape(x, (len(x), -1)).T)
    return x[order], y[order]


@pytest.mark.parametrize(
    "data, steps",
    [
        (FEW, None),
        ((tf.constant(X), pd.DataFrame(Y)), None),
        ((X.astype("float64"), Y.astype("int32")), None),
        (BATCHES, None),
        (BATCHES.repeat(), 2),
        (Images(X, Y), None),
    ],
    ids=["arrays", "pandas", "dtypes", "tf.data", "endless", "PyDataset"],
)
def test_data_of_each_kind_are_read_as_fit_does(data, steps):
    given = Given("held_out", data, 32, steps)
    given.read()
    x, y = (np.concatenate(parts) for parts in zip(*given.data))
    assert x.dtype == "float32"
    for read, expected in zip(in_one_order(x, y), in_one_order(X, Y)):
        np.testing.assert_allclose(read, expected, rtol=1e-6)


class TwoInputs(Images):
    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return [x, 1 - x], y, None


def test_a_pydataset_may_have_several_inputs_in_a_list_and_no_weights():
    given = Given("held_out", TwoInputs(X, Y), 16, None)
    given.read()
    for (x, one_minus_x), _ in given.data:
        np.testing.assert_array_equal(one_minus_x, 1 - x)


def squared(y_true, y_pred):
    return tf.reduce_mean((y_true - y_pred) ** 2, axis=-1)


def test_labels_have_the_shape_and_the_dtype_that_keras_gives_them():
    y = pd.Series(np.linspace(0, 1, 64))  # float64, and no column
    model = keras.Sequential([layers.Flatten(), layers.Dense(1)])
    eager(model, squared, rate=0.0)
    history = fit(model, (X, y), LossGap(held_out=(X, y)), validation_data=(X, y))
    expected = model.evaluate(X, y, verbose=0)
    for name in ("held_out_loss", "inference_mode_loss"):
        assert history[name] == [pytest.approx(expected, rel=1e-4)]


def test_steps_of_arrays_are_other_random_examples_in_each_pass():
    x, y = TRAIN
    order = np.argsort(y.argmax(axis=1), kind="stable")
    given = Given("held_out", (x[order], y[order]), batch_size=32, steps=2)

    def labels():
        return np.concatenate([labels for _, labels in given.data])

    given.read()
    first = labels()
    assert given.share == 0.2 and np.array_equal(first, labels())  # in each pass
    given.read()
    second = labels()
    assert len(set(first.argmax(axis=1))) >= 8 and not np.array_equal(first, second)
    # There is nothing to tune, and the thread that does would be waited for.
    assert given.data.options().autotune.enabled is False


def test_plain_examples_are_the_same_batches_in_all_modes():
    model = network(layers.BatchNormalization(), rate=0.0)
    loss_gap = LossGap(plain=FEW, fit_data=(*FEW, np.ones(64)))
    history = fit(model, BATCHES, loss_gap)
    assert loss_gap.passes.given["plain"].kept == []  # it takes no memory any more
    parts = split_gap(history)
    assert parts["regularization"] == pytest.approx(0, abs=1e-5)
    assert history["regularization_error"][0] < 1e-5
    assert abs(parts["batch_normalization"][0]) > 0.1


@pytest.mark.parametrize(
    "data, words",
    [
        ([FEW], "held_out is neither"),
        ((X, Y.tolist()), "held_out is neither"),
        ((X, Y[:32]), r"the arrays of held_out have \[32, 64\] entries"),
        ((X[:0], Y[:0]), r"have \[0\] entries"),
        (BATCHES.repeat(), "held_out has no end: give steps"),
        ((TEST[0][:, :9], TEST[1]), None),  # Keras' own words
    ],
)
def test_what_cannot_be_measured_is_refused_after_the_first_batch(data, words):
    model = network()
    with pytest.raises(ValueError, match=words):
        fit(model, BATCHES, LossGap(None, held_out=data))
    assert model.optimizer.iterations == 1
