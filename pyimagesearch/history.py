"""Training histories: save them, load them, and split the gap between the losses.

A history is what Keras' `model.fit(...).history` is: a dict with a list of numbers
for each metric, one number an epoch. This module needs no TensorFlow.
"""

import codecs
import io
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np


class HistoryError(Exception):
    """A history cannot be saved or used; the message is one line that says why."""


def save(history: dict, path: Path) -> None:
    """Pickle `history` to `path`, whole or not at all, as lists of Python floats.

    Raises:
        HistoryError: if it cannot be written; a file already there is unchanged.
    """
    plain = {name: [float(value) for value in history[name]] for name in history}
    try:
        write_atomically(path, pickle.dumps(plain))
    except OSError as error:
        raise HistoryError(
            f"{path} cannot be written ({error.strerror}): make room or choose another "
            "folder; what it held before is unchanged"
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that readers see either whole or not at all.

    The bytes go to a file beside `path`, which takes its name when they are all on
    the disk: neither a crash nor a full disk leaves half a file.

    Raises:
        OSError: if it cannot be written; a file already there is unchanged.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
