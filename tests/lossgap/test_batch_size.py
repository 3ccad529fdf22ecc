"""What depends on the batch is found, where the validation's batches are larger."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import BATCHES, FEW, LOSS, TEST, TRAIN, data_set, f1, network, warnings_of

from pyimagesearch.lossgap import LossGap, in_words, split_gap


def dice(y_true, y_pred):
    return 1 - f1(y_true, y_pred)


def compiled(loss=LOSS, metrics=(f1,)):
    keras.utils.set_random_seed(1)
    return network(loss=loss, rate=0.0, metrics=[*metrics])


def test_it_is_warned_of_once_with_both_numbers_and_its_error_is_unknown():
    model, validation = compiled(), data_set(TEST, 32)  # of which the last has 4
    options = {"validation_data": validation, "epochs": 2, "model": model}
    (warning,) = warnings_of(data_set(FEW, 16), LossGap(), **options)
    values = [
        np.mean([f1(y, model(x)) for x, y in data_set(FEW, size)]) for size in (16, 32)
    ]
    both = f"{values[0]:.4f} in batches of 16, {values[1]:.4f} in the validation's 32"
    assert f"f1 depends on the batch: {both}: use validation_batch_size=16" in warning
    history = model.history.history
    assert np.isnan(history["f1_memorization_and_data_error"]).all()
    assert np.isfinite(history["f1_regularization_error"]).all()
    words = in_words(model.history, "f1")
    assert "unknown of too few batches, and of metrics or batch sizes" in words


@pytest.mark.parametrize(
    "loss",
    [dice, keras.losses.CategoricalCrossentropy(reduction="sum")],
    ids=["Dice", "a sum"],
)
def test_a_loss_that_is_no_mean_over_examples_depends_on_it_too(loss):
    model, options = compiled(loss, []), {"validation_data": data_set(FEW, 16)}
    (warning,) = warnings_of(FEW, LossGap(), model=model, **options)
    assert "loss depends on the batch: " in warning
    # It is measured on the batches of `fit`: which examples meet in one decides.
    assert split_gap(model.history)["timing"] == pytest.approx(0, abs=1e-4)


class Several(keras.metrics.MeanMetricWrapper):
    """A result of a name of its own, as that of no other metric."""

    def result(self):
        return {"several": super().result(), "more": keras.ops.ones(2)}


def accuracy_by_hand(y_true, y_pred):
    return tf.cast(tf.argmax(y_true, 1) == tf.argmax(y_pred, 1), "float32")


def mean_error(y_true, y_pred):
    """A mean over examples, but one number of a batch, as many write it."""
    return tf.reduce_mean(tf.abs(y_true - y_pred))


def test_means_of_whole_batches_do_not_depend_on_their_size():
    own = [accuracy_by_hand, mean_error, Several(accuracy_by_hand)]
    model = compiled(metrics=["accuracy", keras.metrics.F1Score("macro"), *own])
    options = {"validation_data": data_set(TEST, 48), "model": model}
    assert warnings_of(data_set(TRAIN, 32), LossGap(), **options) == []


def test_in_batches_of_one_size_nothing_differs():
    options = {"validation_data": data_set(TEST, 32)}  # of which the last has 4
    assert warnings_of(BATCHES, LossGap(), model=compiled(), **options) == []
