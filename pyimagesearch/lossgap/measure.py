"""Measures a model, after which it is put back as it was."""

import logging
import random
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from .metrics import Recorder


class Measuring:
    """Evaluates a model, or one that updates its metrics, and puts it back.

    Args:
        model: the model, which is built.
    """

    def __init__(self, model):
        self.model = model
        self.test_function = None

    def evaluate(self, in_mode, data, steps):
        """Evaluate so many batches; return the `Recorder` of what each batch did.

        Args:
            in_mode: the model itself, or an `OtherMode` of it.
            data: a data set of so many batches, or more.
            steps: how many batches to measure.

        Raises:
            ValueError: if there is no loss.
        """
        recorder = Recorder(self.model)
        # Not by evaluate's own steps: Keras 3.5 reads one more, if there are replicas.
        number = tf.data.experimental.assert_cardinality(steps)
        batches = data.take(steps).apply(number)
        with unchanged(self.model), self.own_test_function(), quiet():
            self.model.reset_metrics()
            in_mode.evaluate(batches, callbacks=[recorder], verbose=0)
        if not recorder.logs or "loss" not in recorder.logs[-1]:
            raise ValueError("LossGap: no loss: empty data, or an own test_step")
        return recorder

    @contextmanager
    def own_test_function(self):
        """Compile one for what is measured, a batch at a time.

        That of the validation, used for both, would fit to the shapes of both, which may
        leave no shape at all.
        """
        model = self.model
        of_validation = model.test_function, model.steps_per_execution
        model.test_function, model.steps_per_execution = self.test_function, 1
        try:
            yield
        finally:
            self.test_function = model.test_function
            model.test_function, model.steps_per_execution = of_validation


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
