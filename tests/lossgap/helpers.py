"""Small models and data, and what the tests of LossGap do with them."""

import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from pyimagesearch.dataset import load_data
from pyimagesearch.lossgap import LossGap

LOSS = "categorical_crossentropy"
TRAIN, TEST = [
    (x[..., np.newaxis].astype("float32") / 255, np.eye(10, dtype="float32")[y])
    for x, y in load_data()
]
X, Y = FEW = TRAIN[0][:64], TRAIN[1][:64]


def data_set(arrays, batch_size):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)


BATCHES = data_set(FEW, 32)  # costs Keras less than arrays


def eager(model, loss=LOSS, rate=0.01, **options):
    """Compile a model to run eagerly, which is faster for so few images."""
    model.compile(keras.optimizers.SGD(rate), loss, run_eagerly=True, **options)
    return model


def network(*hidden, loss=LOSS, rate=0.01, metrics=None, **dense):
    output = layers.Dense(10, activation="softmax", **dense)
    image = keras.Input((28, 28, 1))
    model = keras.Sequential([image, layers.Flatten(), *hidden, output])
    return eager(model, loss, rate, metrics=metrics)


def f1(y_true, y_pred):
    """F1 of the first class, as a function of a batch; never 0."""
    y_true, y_pred = y_true[:, 0], y_pred[:, 0]
    return 2 * tf.reduce_sum(y_true * y_pred) / tf.reduce_sum(y_true + y_pred)


def fit(model, data, *callbacks, **options):
    """The history of `fit`, by default of data sets that are their own validation."""
    options |= {"callbacks": list(callbacks), "verbose": 0}
    if isinstance(data, tf.data.Dataset):
        options = {"validation_data": data, "shuffle": False, **options}
        return model.fit(data, **options).history
    return model.fit(*data, **options).history


def measured(model, data, **options):
    """The losses that LossGap adds to the logs after an epoch of `fit` on all of `data`.

    At a learning rate of 0 they are those of the weights before it, too.
    """
    history = fit(model, data, LossGap(None), **options)
    losses = [x for x in history if x.endswith("_loss") and x != "val_loss"]
    return {x: history[x][-1] for x in losses}


class Kept(keras.callbacks.Callback):
    """Notes which batches of each epoch LossGap has kept, before it lets them go."""

    def __init__(self, loss_gap):
        super().__init__()
        self.loss_gap, self.epochs = loss_gap, []

    def on_test_end(self, logs=None):
        training = self.loss_gap.training
        training.take(np.inf)
        self.epochs.append([[x.numpy() for x in batch] for batch in training.kept])


def warnings_of(data, *callbacks, model=None, **options):
    """The warnings of LossGap, which are of a line in this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model or network(), data, *callbacks, **options)
    ours = [x for x in caught if "LossGap" in str(x.message)]
    assert {x.filename for x in ours} <= {__file__}
    return [str(x.message) for x in ours]
