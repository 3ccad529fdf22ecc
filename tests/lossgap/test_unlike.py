"""A validation whose data are unlike those of `fit` is warned of, with the numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import FEW, TEST, TRAIN, data_set, eager, network, warnings_of
from keras import layers

from pyimagesearch.lossgap import LossGap
from pyimagesearch.lossgap.unlike import differences

(X, Y), (X_VAL, Y_VAL) = TRAIN, TEST
LABELS = Y.argmax(axis=1)
COLUMNS = np.random.default_rng(0).normal(5, 1, (420, 3))


def batches(x, y, size=32):
    parts = [np.array_split(part, range(size, len(part), size)) for part in (x, y)]
    return [tuple(map(tf.constant, batch)) for batch in zip(*parts)]


def found(training, validation):
    return differences(batches(*training), batches(*validation))


@pytest.mark.parametrize(
    "x, y, words",
    [
        (X_VAL * 255, Y_VAL, "x: mean 0.293 in `fit`, 74.7 in"),
        (1 - X_VAL, Y_VAL, "x: mean 0.293 in `fit`, 0.707 in"),
        (2 * X_VAL - 1, Y_VAL, "x: mean 0.293 in `fit`, -0.414 in"),
        (0.2 + 0.3 * X_VAL, Y_VAL, "x: spread 0.357 in `fit`, 0.1"),
        (np.zeros_like(X_VAL), Y_VAL, "x: mean 0.293 in `fit`, 0 in"),
        (X[LABELS == 3], Y[LABELS == 3], "y[..., 3]: mean 0.0"),
    ],
    ids=["not divided by 255", "inverted", "-1 to 1", "paler", "black", "one class"],
)
def test_what_differs_is_named_with_its_numbers(x, y, words):
    assert words in "; ".join(found(TRAIN, (x, y)))


def test_columns_and_labels_that_are_numbers_are_compared_too():
    x, y, x_val, n = COLUMNS[:320], np.arange(320) % 2, COLUMNS[320:], np.ones(100)
    missing = np.where(np.arange(3) == 0, np.nan, x_val)
    for ours, validation, words in [
        (y, (x_val * [1, 1, 1000], y[:100]), "x[..., 2]: mean 5"),  # other units
        (y, (missing + [0, 0, 50], y[:100]), "x[..., 2]: mean 5"),
        (y, (x, np.arange(320) % 20 == 0), "y: mean 0.5"),  # oversampled for `fit`
        (y, (x_val, n), "y: mean 0.5 in `fit`, 1 in the validation"),
        # The class in the middle has the same mean.
        (
            np.arange(320) % 10,
            (x_val, 5 * n),
            "y: spread 2.87 in `fit`, 0 in the valid",
        ),
    ]:
        (line,) = found((x, ours), validation)
        assert line.startswith(words)


def test_inputs_have_their_names():
    def named(a, b, y):
        return [({"a": tf.constant(a), "b": (tf.constant(b),)}, tf.constant(y))]

    ours, others = named(X, 1 - X, Y), named(X_VAL, X_VAL, Y_VAL)
    (line,) = differences(ours, others)
    assert line.startswith("x['b'][0]: mean 0.7")


@pytest.mark.parametrize("n", [20, 40, 60])
def test_random_splits_are_not_warned_of(n):
    random = np.random.default_rng(n)
    x, labels = np.concatenate([X, X_VAL]), np.concatenate([Y, Y_VAL])
    for _ in range(12):
        order = random.permutation(420)
        ours, others = order[n : 2 * n], order[:n]
        lognormal = random.lognormal(0, 1.5, (420, 4))
        lengths = random.integers(2, 50, (420, 1))
        tokens = random.zipf(1.5, (420, 50)) * (np.arange(50) < lengths)
        rare = (random.random(420) < 0.05).astype(int)
        for data in (x, lognormal, np.minimum(tokens, 5000)):
            for y in (labels, rare, labels.argmax(axis=1), lognormal[:, 0]):
                pair = (data[ours], y[ours]), (data[others], y[others])
                assert found(*pair) == []


class OwnLoss(keras.Model):
    def compute_loss(self, x, y=None, y_pred=None, sample_weight=None):
        return tf.reduce_mean((x[..., 0] - y_pred) ** 2)


def test_inputs_without_labels_are_compared_as_inputs():
    image = keras.Input((28, 28, 1))
    output = layers.Dense(28)(layers.Reshape((28, 28))(image))
    model = eager(OwnLoss(image, output), None)
    batches, paler = data_set(X, 32), data_set(X / 9, 32)
    (line,) = warnings_of(batches, LossGap(), model=model, validation_data=paler)
    assert "(x: mean 0.2" in line and "y:" not in line


def test_sequences_of_other_lengths_are_compared_as_a_whole():
    short, long = np.ones((32, 5)), np.ones((32, 9))
    ours = [(tf.constant(short), tf.constant(Y[:32]))]
    assert differences(ours, [(tf.constant(long), tf.constant(Y[:32]))]) == []
    assert differences(ours, [(tf.constant(3 * long), tf.constant(Y[:32]))])


def test_it_is_said_once_after_the_first_validation():
    options = {"validation_data": data_set((X_VAL * 255, Y_VAL), 50), "epochs": 2}
    (warning,) = warnings_of(FEW, LossGap(), model=network(), **options)
    assert "unlike those of `fit` (x: mean 0.2" in warning
