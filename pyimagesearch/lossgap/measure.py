"""Measures a model, after which it is put back as it was."""

import logging
import random
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from .metrics import Recorder


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
