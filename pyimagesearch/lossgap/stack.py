"""Looks up the stack: Keras' running `fit`, and the user's line to warn at."""

import inspect
import os
import warnings
from pathlib import Path

import keras

# What is in these folders is no line of the user's.
INSIDE = tuple(f"{Path(file).parent}{os.sep}" for file in (keras.__file__, __file__))
# By these of its local variables Keras' own `fit` is known, whoever has patched it.
OF_FIT = {"self", "epoch_iterator", "validation_data", "validation_freq"}


def running_fit(model):
    """The local variables of Keras' `fit`, which is training `model`, by their names.

    Keras tells callbacks nothing of the data, though people have asked for it for years
    (keras-team/keras, issues 3825, 8165, 14706). But while a callback runs, `fit` is on
    the stack.

    Raises:
        RuntimeError: if there is no such `fit`.
    """
    for caller in inspect.stack(0):
        variables = caller.frame.f_locals
        if OF_FIT.issubset(variables) and variables["self"] is model:
            return variables
    raise RuntimeError(
        f"LossGap watches the fit of Keras, and none with {', '.join(sorted(OF_FIT))} is "
        f"running (Keras {keras.__version__}; known are 3.5 to 3.15)"
    )


def warn(message):
    """Warn at the line that called `fit`, and not at one of Keras'."""
    files = [frame.filename for frame in inspect.stack(0)]
    outside = [i for i, file in enumerate(files) if not file.startswith(INSIDE)]
    warnings.warn(f"LossGap: {message}", stacklevel=outside[0] + 1)
