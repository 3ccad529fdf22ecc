"""Looks up the stack: what `fit` was told, and the user's line to warn at."""

import inspect
import os
import warnings
from pathlib import Path

import keras

# What is in these folders is no line of the user's.
INSIDE = tuple(f"{Path(file).parent}{os.sep}" for file in (keras.__file__, __file__))


def arguments_of_fit(model):
    """What `fit` was told, by the names of its arguments; `{}` if it is not running.

    Keras tells callbacks nothing of the data, though people have asked for it for years
    (keras-team/keras, issues 3825, 8165, 14706). But while a callback runs, Keras' own `fit` is on the
    stack, and its local variables are its arguments, `validation_split` already applied.
    """
    fit = inspect.unwrap(keras.Model.fit)
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is fit.__code__ and frame.f_locals["self"] is model:
            variables = frame.f_locals
            return {name: variables[name] for name in inspect.signature(fit).parameters}
        frame = frame.f_back
    return {}


def warn(message):
    """Warn at the line that called `fit`, and not at one of Keras'."""
    files = [frame.filename for frame in inspect.stack(0)]
    outside = [i for i, file in enumerate(files) if not file.startswith(INSIDE)]
    warnings.warn(f"LossGap: {message}", stacklevel=outside[0] + 1)
