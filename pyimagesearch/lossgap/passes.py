"""What is measured after an epoch: the passes, in their order, each in a mode, of data."""

import logging
import random
from contextlib import contextmanager
from functools import partial

import numpy as np
import tensorflow as tf

from .data import Given
from .metrics import Recorder, is_from_sums, metrics_by_name
from .modes import Mode, batch_normalization_layers, in_noted_modes


class Passes:
    """The passes over a model, which must have trained on a batch.

    `training` is the `Watch` of `fit`; of each that LossGap was `given`, `steps` batches
    are measured.
    """

    def __init__(self, model, training, given, steps):
        self.model, self.training = model, training
        layers, notes = batch_normalization_layers(model), {}
        noting = partial(in_noted_modes, layers, notes, note=True)
        as_noted = partial(in_noted_modes, layers, notes)
        # In this order, as training mode notes the modes that the second repeats.
        self.modes = {"training_mode": Mode(model, True, noting)}
        if layers:
            self.modes["batch_statistics"] = Mode(model, False, as_noted)
        self.modes["inference_mode"] = Mode(model, False)
        self.given = {
            name: Given(name, data, training.batch_size, steps)
            for name, data in given.items()
        }

    def by_name(self, validation):
        """By name, in their order: a mode, the `Sample` to measure, and its data set.

        Data are measured as the validation has them, with weights or without. As `fit`
        has them, if they are weighted for it alone, or augmented, is a pass of its own.
        """
        weighted = validation is not None and validation.is_weighted

        def as_validation(mode, sample):
            return mode, sample, sample.data if weighted else sample.unweighted

        as_fit = self.given.get("fit_data", self.training)
        plain = self.given.get("plain", as_fit)
        inference_mode = self.modes["inference_mode"]
        passes = {}
        if plain is not as_fit or (as_fit.is_weighted and not weighted):
            passes["fit_data"] = self.modes["training_mode"], as_fit, as_fit.data
        for name, mode in self.modes.items():
            passes[name] = as_validation(mode, plain)
        if "held_out" in self.given:
            passes["held_out"] = as_validation(inference_mode, self.given["held_out"])
        kinds = metrics_by_name(self.model).values()
        if validation is not None and any(map(is_from_sums, kinds)):
            passes["validation_sample"] = as_validation(inference_mode, validation)
        return passes

    def measure(self, validation=None, steps=None):
        """Run the passes; return by name the `Recorder` of each.

        To try them on so many `steps`, the validation need not be known.
        """
        for given in self.given.values():
            given.read(steps)
        recorders = {
            name: evaluate(mode, data, steps or len(sample.kept), sample.share)
            for name, (mode, sample, data) in self.by_name(validation).items()
        }
        for given in self.given.values():
            given.kept = []  # so that they take no memory
        return recorders


def evaluate(mode, data, steps, share=np.nan):
    """Evaluate so many batches in a `Mode`; return the `Recorder` of what each did."""
    recorder = Recorder(mode.inner, share)
    # Not by evaluate's own steps: Keras 3.5 reads one more, if there are replicas.
    number = tf.data.experimental.assert_cardinality(steps)
    batches = data.take(steps).apply(number)
    # TensorFlow takes the functions of all modes for one that is compiled again and again.
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with unchanged(mode.inner):
            mode.inner.reset_metrics()
            mode.evaluate(batches, callbacks=[recorder], verbose=0)
    finally:
        logger.setLevel(level)
    if not recorder.logs:
        raise ValueError("LossGap: empty data cannot be measured")
    return recorder


@contextmanager
def unchanged(model):
    """Put the state that a measurement may change back afterwards."""
    # What Keras knows of, and what only TensorFlow does, such as the state of an RNN.
    parts = [*model.variables, *model.metrics_variables]
    parts += tf.train.TrackableView(model).descendants()
    parts = [part for part in parts if hasattr(part, "numpy")]
    parts = [part if isinstance(part, tf.Variable) else part.value for part in parts]
    # Only `fit` changes the optimizer's, and they may be larger than the model.
    of_optimizer = getattr(model.optimizer, "variables", [])
    others = {id(variable.value) for variable in of_optimizer}
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
