"""A model's `evaluate` in other modes, after which its state is put back."""

import random
from contextlib import contextmanager
from functools import partial
from inspect import signature

import keras
import numpy as np
import tensorflow as tf
from keras.layers import BatchNormalization

from .stack import warn


def overrides(model, name):
    return getattr(type(model), name) is not getattr(keras.Model, name)


def warn_of_own_steps(model):
    """Say why the parts of a model's gap may not be what they are called."""
    names = ["train_step", "test_step", "evaluate"]
    own = [f"a {name} of its own" for name in names if overrides(model, name)]
    if own:
        warn(
            f"the model has {' and '.join(own)}: the parts of its gap hold only where "
            "that computes what Keras' own does, and does on whole batches"
        )


class OtherMode(keras.Model):
    """A model whose `evaluate` computes what that of `model` does, in another mode.

    That is training mode or, with `training=False`, inference mode but for batch
    normalization, which is as it was in training mode.
    """

    def __init__(self, model, normalization, training):
        # Under a strategy of several replicas it is compiled where the model was.
        with model.distribute_strategy.scope():
            super().__init__()
            self.inner = model
            self.normalization = normalization
            self.training = training
            self.mean = keras.metrics.Mean()
            self.compile(run_eagerly=model.run_eagerly, jit_compile=model.jit_compile)
        self.built = True  # as `inner` is
        self.steps_per_execution = model.steps_per_execution

    def test_step(self, data):
        # As Keras' own, which would cast the inputs as this model's.
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        mode = mode_of(self.inner.call, self.training)
        if overrides(self.inner, "train_step"):
            mode = {"training": self.training}  # Keras' layers take it from their model
        with self.normalization.in_training_mode(note=self.training):
            y_pred = self.inner(x, **mode)
        mode = mode_of(self.inner.compute_loss, self.training)
        loss = self.inner.compute_loss(x, y, y_pred, sample_weight, **mode)
        # This loss is 1; under a strategy newer versions of Keras divide each loss by the
        # number of replicas, which is what is left of it here, and undone.
        one = keras.losses.MeanSquaredError()(tf.ones((1, 1)), tf.zeros((1, 1)))
        self.mean.update_state(
            loss / tf.cast(one, loss.dtype),
            sample_weight=tf.shape(tf.nest.flatten(x)[0])[0],
        )
        metrics = self.inner.compute_metrics(x, y, y_pred, sample_weight)
        return {**metrics, "loss": self.mean.result()}

    def get_metrics_result(self):
        return {**self.inner.get_metrics_result(), "loss": self.mean.result()}


def mode_of(method, training):
    # As Keras does: `fit` sets the mode only of a method that takes it.
    return {"training": training} if "training" in signature(method).parameters else {}


class BatchNormalizationModes:
    """The batch normalization layers of a model, and their modes in training mode."""

    def __init__(self, model):
        self.modes = {}
        layers = model._flatten_layers()  # those inside layers have no public name
        self.layers = [x for x in layers if isinstance(x, BatchNormalization)]

    @contextmanager
    def in_training_mode(self, note):
        """Note the mode in which each is called (it may be frozen), or set it."""

        def call_in_mode(layer, call, *args, training=None, **kwargs):
            if note:
                self.modes[layer] = training
            return call(*args, **kwargs, **mode_of(call, self.modes.get(layer)))

        # An attribute of the layer hides the method of its class, until it is deleted.
        for layer in self.layers:
            layer.call = partial(call_in_mode, layer, layer.call)
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.call


@contextmanager
def unchanged(model):
    """Put the state that a measurement may change back afterwards."""
    # What Keras knows of, and what only TensorFlow does, such as the state of an RNN.
    parts = [*model.variables, *tf.train.TrackableView(model).descendants()]
    parts = [part for part in parts if hasattr(part, "numpy")]
    parts = [part if isinstance(part, tf.Variable) else part.value for part in parts]
    # Only `fit` changes the optimizer's, and they may be larger than the model.
    others = {id(variable.value) for variable in model.optimizer.variables}
    variables = {id(part): part for part in parts if id(part) not in others}
    # Each replica of several has a value of its own.
    variables = [
        x for part in variables.values() for x in getattr(part, "values", [part])
    ]
    values = [tf.identity(variable) for variable in variables]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        for variable, value in zip(variables, values):
            variable.assign(value)
