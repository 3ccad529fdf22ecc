"""Training histories: save them, load them safely and check them.

A history is what Keras' `model.fit(...).history` is: a dict with a list of numbers
for each metric, one number an epoch.
"""

import os
import pickle
from pathlib import Path

import numpy as np


class HistoryError(Exception):
    """A history cannot be saved or used; the message says why and what to do."""


def save(history: dict, path: Path) -> None:
    """Pickle `history` to `path`, whole or not at all, as lists of Python's numbers.

    Raises:
        HistoryError: if it cannot be written; a file already there is unchanged.
    """
    plain = {name: np.asarray(history[name]).tolist() for name in history}
    # Renaming is one step: a kill leaves the old file or the new one, never a half.
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        unfinished.write_bytes(pickle.dumps(plain))
        os.replace(unfinished, path)
    except OSError as error:
        raise HistoryError(
            f"{path} cannot be written ({error}): mend this, or name another file"
        ) from error


def load(path: Path) -> dict:
    """Load a pickled history, of this project's or anyone's Keras, and check it.

    A pickle can run code when it is loaded, but not here. Still, a file that is made
    for it can take all memory, or never end.

    Returns:
        A dict of lists of numbers, all of one length, at least 1. `loss` and `val_loss`
        are among them; what else the file has is left out.

    Raises:
        HistoryError: if the file is missing, damaged, unsafe, or not a history.
    """
    advice = "give the file that fashion_mnist.py --history wrote"
    try:
        with open(path, "rb") as file:
            # The encoding is for Python 2, whose text and bytes were one.
            history = HistoryUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise HistoryError(f"{path} cannot be loaded ({error}): {advice}") from error

    if type(history) is not dict or "loss" not in history:
        raise HistoryError(f"{path} is no training history: {advice}")
    if "val_loss" not in history:
        raise HistoryError(f"{path} has no val_loss: train with validation data")
    # Before NumPy sees them: it would ask an object for its `__array_interface__`.
    plain = {x: values for x, values in history.items() if type(values) is list}
    plain = {x: plain[x] for x in plain if set(map(type, plain[x])) <= {int, float}}
    for name in ("loss", "val_loss"):
        if name not in plain:
            raise HistoryError(f"{path}: {name} is not a list of numbers: train again")
    epochs, validated = len(plain["loss"]), len(plain["val_loss"])
    if not epochs == validated > 0:
        raise HistoryError(
            f"{path} does not have both losses of each epoch (loss {epochs}, val_loss "
            f"{validated}): train one or more, with validation_freq=1"
        )
    return {name: values for name, values in plain.items() if len(values) == epochs}


class HistoryUnpickler(pickle.Unpickler):
    """Loads dicts, lists, text and numbers, those of NumPy too, and nothing else.

    Source: "Restricting Globals" in Python's documentation of `pickle`.
    """

    def find_class(self, module, name):
        # NumPy 2 has moved its functions from numpy.core to numpy._core.
        name = f"{module}.{name}".replace("numpy._core", "numpy.core")
        if name not in STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {name!r}, which may be code")
        return STAND_INS[name]


class StandIn:
    """Keeps what a dtype or an array of NumPy is made of, and does nothing with it."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state


def scalar(dtype, data):
    """Return a number of NumPy as Python's."""
    (code, *_), (_, order, *_) = dtype.arguments, dtype.state
    if code not in ("f2", "f4", "f8", "i4", "i8"):
        return None  # no number that a loss can be
    # Of a dtype that is made anew: a forged one would show any place in memory.
    return np.frombuffer(as_bytes(data), order + code).item()


def as_bytes(data, encoding=None):
    """Return bytes, which the protocols 0 to 2 write as text."""
    return data.encode("latin1") if type(data) is str else data


STAND_INS = {
    "numpy.dtype": StandIn,
    "numpy.ndarray": StandIn,
    "numpy.core.multiarray._reconstruct": StandIn,
    "numpy.core.numeric._frombuffer": StandIn,
    "numpy.core.multiarray.scalar": scalar,
    "_codecs.encode": as_bytes,
}
