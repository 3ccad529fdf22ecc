"""What is measured after an epoch: the passes, in their order, each in a mode, of data."""

import logging
import random
from contextlib import contextmanager
from functools import partial

import numpy as np
import tensorflow as tf

from .data import Given
from .metrics import Recorder, is_from_sums, metrics_by_name
from .modes import BatchNormalizationModes, Mode


class Passes:
    """The passes over a model that has trained on a batch.

    Args:
        model: the model.
        training: the `Watch` of what it trains on.
        given: what LossGap was given, by the names of its arguments.
        steps: how many batches of that to measure; all if None.
    """

    def __init__(self, model, training, given, steps):
        self.model, self.training = model, training
        normalization = BatchNormalizationModes(model)
        noted = partial(normalization.watched, repeat=False)
        repeated = partial(normalization.watched, repeat=True)
        self.training_mode = Mode(model, True, noted)
        self.batch_statistics = Mode(model, False, repeated)
        self.inference_mode = Mode(model, False)
        self.has_batch_normalization = bool(normalization.layers)
        self.given = {
            name: Given(name, data, training.batch_size, steps)
            for name, data in given.items()
        }
        self.choose()

    def choose(self, validation=None):
        """Choose the passes; `validation` is the `Watch` of the validation, if known.

        Data are measured as the validation has them, with weights or without. As `fit`
        has them, if they are weighted for it alone, or augmented, is a pass of its own.
        """
        weighted = validation is not None and validation.is_weighted

        def as_validation(source):
            return source.data if weighted else source.without_weights()

        as_fit = self.given.get("fit_data", self.training)
        plain = self.given.get("plain", as_fit)
        data = as_validation(plain)
        self.passes = {}
        if plain is not as_fit or (as_fit.is_weighted and not weighted):
            self.passes["fit_data"] = self.training_mode, as_fit.data, as_fit
        # Before the statistics of each batch, which repeat what training mode has noted.
        self.passes["training_mode"] = self.training_mode, data, plain
        if self.has_batch_normalization:
            self.passes["batch_statistics"] = self.batch_statistics, data, plain
        self.passes["inference_mode"] = self.inference_mode, data, plain
        if "held_out" in self.given:
            held_out = self.given["held_out"]
            data = as_validation(held_out)
            self.passes["held_out"] = self.inference_mode, data, held_out
        kinds = metrics_by_name(self.model).values()
        if validation is not None and any(map(is_from_sums, kinds)):
            sample = self.inference_mode, validation.data, validation
            self.passes["validation_sample"] = sample

    def measure(self, steps=None):
        """Run the passes; return by name the `Recorder` of each.

        Args:
            steps: how many batches to measure, to try; by default all that there are.
        """
        for given in self.given.values():
            given.read(steps)
        recorders = {
            name: evaluate(mode, data, steps or len(source.kept), source.share)
            for name, (mode, data, source) in self.passes.items()
        }
        for given in self.given.values():
            given.kept = []  # so that they take no memory
        return recorders


def evaluate(mode, data, steps, share=np.nan):
    """Evaluate so many batches in a `Mode`; return the `Recorder` of what each did.

    `share` is what they are of all the batches of their kind, `n / N`.

    Raises:
        ValueError: if there is no loss.
    """
    recorder = Recorder(mode.inner, share)
    # Not by evaluate's own steps: Keras 3.5 reads one more, if there are replicas.
    number = tf.data.experimental.assert_cardinality(steps)
    batches = data.take(steps).apply(number)
    with unchanged(mode.inner), quiet():
        mode.inner.reset_metrics()
        mode.evaluate(batches, callbacks=[recorder], verbose=0)
    if not recorder.logs:
        raise ValueError("LossGap: empty data cannot be measured")
    return recorder


@contextmanager
def quiet():
    """Keep TensorFlow from warning of functions that are compiled again and again.

    It takes those of all modes for one.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


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
