"""A model in the modes in which it is measured."""

from contextlib import contextmanager, nullcontext
from functools import partial
from inspect import signature

import keras
import tensorflow as tf
from keras.layers import BatchNormalization

from .data import tensors_of
from .stack import warn


def overrides(model, name):
    return getattr(type(model), name) is not getattr(keras.Model, name)


def check_own_steps(model):
    """Refuse a model that LossGap cannot measure, or warn why its parts may not hold.

    Raises:
        ValueError: if its outputs or its loss cannot be computed from outside.
    """
    has_own_loss = overrides(model, "train_step") and model.loss is None
    if not overrides(model, "call") or (
        has_own_loss and not overrides(model, "compute_loss")
    ):
        raise ValueError(
            "LossGap measures a model by its `call` and its compiled loss, or its own "
            f"compute_loss: {type(model).__name__} computes its loss elsewhere, and its "
            "gap cannot be split"
        )
    names = ["train_step", "test_step", "evaluate"]
    own = [f"its own {name}" for name in names if overrides(model, name)]
    if own:
        warn(
            f"the model has {' and '.join(own)}: the parts of its gap hold only where "
            "that computes what Keras' own does, and does on whole batches"
        )


class Mode(keras.Model):
    """A model whose `evaluate` computes what that of `model` does, in one mode.

    It has a compiled test function of its own: that of the validation would be compiled
    anew for shapes general enough for both, which may be none. The model, which is built,
    is called in a context that `around` makes.
    """

    def __init__(self, model, training, around=nullcontext):
        # Under a strategy of several replicas it is compiled where the model was.
        with model.distribute_strategy.scope():
            super().__init__()
            self.inner, self.training, self.around = model, training, around
            self.mean = keras.metrics.Mean()
            self.compile(run_eagerly=model.run_eagerly, jit_compile=model.jit_compile)
        self.built = True  # as `inner` is

    def test_step(self, data):
        # As Keras' own, which would cast the inputs as this model's.
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        argument = training_argument(self.inner.call, self.training)
        if overrides(self.inner, "train_step"):
            argument = {"training": self.training}  # layers take it from their model
        with self.around():
            y_pred = self.inner(x, **argument)
        argument = training_argument(self.inner.compute_loss, self.training)
        loss = self.inner.compute_loss(x, y, y_pred, sample_weight, **argument)
        # Under a strategy newer versions of Keras divide each loss by the number of
        # replicas. Then this loss, which is 1, is 1 / replicas, and undoes it.
        one = keras.losses.MeanSquaredError()(tf.ones((1, 1)), tf.zeros((1, 1)))
        self.mean.update_state(
            loss / tf.cast(one, loss.dtype),
            sample_weight=tf.shape(tensors_of(x)[0])[0],
        )
        metrics = self.inner.compute_metrics(x, y, y_pred, sample_weight)
        return {**metrics, "loss": self.mean.result()}

    def get_metrics_result(self):
        return {**self.inner.get_metrics_result(), "loss": self.mean.result()}


def training_argument(method, training):
    # As Keras does: `fit` sets the mode only of a method that takes it.
    return {"training": training} if "training" in signature(method).parameters else {}


def batch_normalization_layers(model):
    layers = model._flatten_layers()  # those inside layers have no public name
    return [layer for layer in layers if isinstance(layer, BatchNormalization)]


@contextmanager
def in_noted_modes(layers, notes, note=False):
    """Call each layer in its mode in `notes`; or `note` there in which it is called.

    Each may have its own: a frozen one is in inference mode.
    """

    def call_in_mode(layer, call, *args, training=None, **kwargs):
        if note:
            notes[layer] = training
        return call(*args, **kwargs, **training_argument(call, notes.get(layer)))

    # An attribute of the layer hides the method of its class, until it is deleted.
    for layer in layers:
        layer.call = partial(call_in_mode, layer, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
