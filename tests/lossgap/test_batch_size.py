"""What depends on the batch is found, where the validation's batches are larger."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    FEW,
    LOSS,
    TEST,
    TRAIN,
    X,
    Y,
    data_set,
    eager,
    f1,
    fit,
    network,
    warnings_of,
)

from pyimagesearch.lossgap import LossGap, in_words, split_gap


def dice(y_true, y_pred):
    return 1 - f1(y_true, y_pred)


def compiled(loss=LOSS, metrics=(f1,)):
    keras.utils.set_random_seed(1)
    return eager(network(), loss, rate=0.0, metrics=[*metrics])


LARGER = {"validation_data": FEW, "validation_batch_size": 32}


@pytest.mark.parametrize(
    "data, options",
    [
        (
            FEW,
            {"validation_data": data_set(TEST, 32), "batch_size": 16},
        ),  # the last has 4
        (data_set(FEW, 16), LARGER),
    ],
    ids=["arrays", "a data set"],
)
def test_it_is_warned_of_once_with_both_numbers_and_its_error_is_unknown(data, options):
    model = compiled()
    (warning,) = warnings_of(
        data, LossGap(), model=model, epochs=2, shuffle=False, **options
    )
    values = [
        np.mean([f1(Y[i : i + n], model(X[i : i + n])) for i in range(0, 64, n)])
        for n in (16, 32)
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
    options = {"validation_data": FEW, "validation_batch_size": 16}
    (warning,) = warnings_of(FEW, LossGap(), model=compiled(loss, []), **options)
    assert "loss depends on the batch: " in warning


class Several(keras.metrics.MeanMetricWrapper):
    """A result of a name of its own, as that of no other metric."""

    def result(self):
        return {"several": super().result(), "more": keras.ops.ones(2)}


def accuracy_by_hand(y_true, y_pred):
    return tf.cast(tf.argmax(y_true, 1) == tf.argmax(y_pred, 1), "float32")


@pytest.mark.parametrize(
    "metrics, validation",
    [
        ((f1,), data_set(TEST, 32)),  # the last one is smaller
        (("accuracy", keras.metrics.F1Score("macro")), data_set(TEST, 100)),
        ((accuracy_by_hand, Several(accuracy_by_hand)), data_set(TEST, 100)),
    ],
    ids=["equal sizes", "Keras' own", "of one's own"],
)
def test_where_nothing_differs_there_is_no_warning(metrics, validation):
    model = compiled(metrics=metrics)
    assert warnings_of(FEW, LossGap(), model=model, validation_data=validation) == []


def test_a_function_of_a_batch_is_measured_on_the_batches_of_fit():
    # Which examples meet in a batch decides, and it learns nothing.
    model = compiled(dice, [f1])
    history = fit(model, FEW, LossGap(), validation_data=data_set(TEST, 32))
    for metric in ("loss", "f1"):
        assert split_gap(history, metric)["timing"] == pytest.approx(0, abs=2e-5)


def mean_error(y_true, y_pred):
    """A mean over examples, but one number of a batch, as many write it."""
    return tf.reduce_mean(tf.abs(y_true - y_pred))


def test_a_mean_of_whole_batches_does_not_depend_on_their_size():
    options = {"validation_data": data_set(TEST, 48), "batch_size": 32}
    model = compiled(metrics=[mean_error])
    assert warnings_of(TRAIN, LossGap(), model=model, **options) == []
