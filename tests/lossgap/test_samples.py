"""Which examples are measured: all kinds of data."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import (
    BATCHES,
    FEW,
    TEST,
    TRAIN,
    X,
    Y,
    eager,
    fit,
    losses_by_hand,
    measured,
    network,
    warnings_of,
)
from keras import layers
from keras.callbacks import LambdaCallback
from scipy.sparse import csr_array
from test_modes import stateful_model

from pyimagesearch.lossgap import LossGap
from pyimagesearch.lossgap.samples import source_of


def test_steps_of_arrays_are_random_samples_until_all_were_measured():
    x, y = TRAIN
    order = np.argsort(y.argmax(axis=1), kind="stable")
    source = source_of("x", (x[order], y[order]), 32, 2)
    labels, seen = {image.tobytes(): y.argmax() for image, y in zip(x, y)}, {}
    for _ in range(5):
        images, classes = map(np.concatenate, zip(*source.draw()["x"]))
        classes = classes.argmax(axis=1)
        assert len(images) == len(classes) == 64 and len(set(classes)) >= 8
        seen |= {image.tobytes(): label for image, label in zip(images, classes)}
    assert seen == labels


def test_tf_data_does_not_tune_what_needs_no_tuning():
    batches = source_of("x", FEW, 32, None).draw()["x"]
    assert batches.options().autotune.enabled is False


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 16

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return self.x[rows], self.y[rows]


def endless(x, y):
    for _ in range(100):
        yield x[:16], y[:16]
    raise AssertionError("all of it was asked for")


@pytest.mark.parametrize(
    "data, steps, size",
    [
        ((tf.constant(X), pd.DataFrame(Y)), None, 64),
        ((X.astype("float64"), Y.astype("int32")), None, 64),
        ((BATCHES,), None, 64),
        ((Batches(X, Y),), None, 64),
        ((BATCHES.repeat(),), 1, 32),
        ((endless(X, Y),), 1, 16),
    ],
    ids=["tensors and pandas", "dtypes", "tf.data", "PyDataset", "repeated", "endless"],
)
def test_data_of_each_kind_are_measured_as_fit_sees_them(data, steps, size):
    model = network()
    losses = measured(model, *data, steps=steps)
    expected = losses_by_hand(model, X[:size], Y[:size]).mean()
    assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-4)


def squared(y_true, y_pred):
    return tf.reduce_mean((y_true - y_pred) ** 2, axis=-1)


def test_labels_have_the_shape_and_the_dtype_that_keras_gives_them():
    y = pd.Series(np.linspace(0, 1, 64))  # float64, and no column
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten()])
    model.add(layers.Dense(1))
    losses = measured(eager(model, squared), X, y)
    expected = model.evaluate(X, y, verbose=0)
    assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-4)


def refused(message, *args, model=None, **options):
    """Assert that it is refused before an epoch is spent; return the error's words."""
    epochs = []
    started = LambdaCallback(lambda *epoch: epochs.append(epoch))
    with pytest.raises(Exception, match=message) as error:
        fit(model or network(), BATCHES, LossGap(*args, **options), started)
    assert epochs == []
    return str(error.value)


@pytest.mark.filterwarnings("ignore:Your input ran out of data", "ignore:LossGap")
def test_what_cannot_be_measured_is_refused_in_one_line(monkeypatch):
    class Endless(Batches):
        num_batches = None

    class OwnTestStep(keras.Sequential):
        def test_step(self, data):
            return {"d_loss": tf.constant(0.0)}

    own = eager(OwnTestStep(network().layers))
    without_loss = eager(keras.Sequential(network().layers), loss=None)
    for words in [
        refused("the batch_size of `fit`", X, Y),
        refused("x is sparse: .*data set", csr_array(X.reshape(64, -1)), Y, 32),
        refused(r"x have \[63, 64\] entries", X, Y[:-1], 32),
        refused(r"held_out have \[10, 64\]", X, Y, 32, held_out=(X, Y[:10])),
        refused(r"x have \[0\] entries", X[:0], Y[:0], 32),
        refused("empty data", BATCHES.take(0)),
        refused("steps=", BATCHES.repeat()),
        refused("steps=", BATCHES.filter(lambda *_: True)),
        refused("held_out .*steps=", X, Y, 32, held_out=endless(X, Y)),
        refused("steps=", Endless(*FEW)),
        refused("no loss: .*own test_step", BATCHES, model=own),
        refused("arrays: for stateful=True", X, Y, 32, model=eager(stateful_model())),
        refused("No loss", BATCHES, model=without_loss),
    ]:
        assert "\n" not in words
    refused("shape", X, Y.argmax(axis=1), 32)  # in Keras' own words
    refused("shape", X, Y, 32, held_out=(X, Y[:, :3]))
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    words = refused("Graph execution", X, Y.argmax(axis=1) + 10, 32, model=model)
    assert "label value" in words  # all of it, and not only its first line
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    refused("needs Keras on TensorFlow", BATCHES)


def test_a_data_set_with_other_batches_in_each_pass_is_warned_of():
    options = {"validation_data": TEST, "steps_per_epoch": 2}
    shuffled = tf.data.Dataset.from_tensor_slices(FEW).shuffle(64, seed=1).batch(32)
    generator = ((X[i : i + 9], Y[i : i + 9]) for i in range(50))
    for data in (shuffled, generator):
        (words,) = warnings_of(BATCHES.repeat(), LossGap(data, steps=1), **options)
        assert "other batches in each pass" in words and "disturbs" in words
    for loss_gap in (LossGap(BATCHES), LossGap(X, Y, 16, steps=1)):
        assert warnings_of(shuffled.repeat(), loss_gap, **options) == []
