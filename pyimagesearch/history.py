"""Training histories: save them, load them, and split the gap between the losses.

A history is what Keras' `model.fit(...).history` is: a dict with a list of numbers
for each metric, one number an epoch. This module needs no TensorFlow.
"""

import os
import pickle
import stat
from pathlib import Path

import numpy as np

from pyimagesearch import picklereader, wholefile
from pyimagesearch.endings import ExplainedError

# The two losses of every history, and those that LossGap adds.
REPORTED = ["loss", "val_loss"]
MEASURED = ["training_mode_loss", "inference_mode_loss"]
HELD_OUT = "held_out_loss"


class HistoryError(ExplainedError):
    """A history cannot be saved or used; the message is one line that says why."""


def save(history: dict, path: Path) -> None:
    """Pickle `history` to `path`, whole or not at all, as lists of Python floats.

    Raises:
        HistoryError: if it cannot be written; a file already there is unchanged.
    """
    plain = {name: [float(value) for value in history[name]] for name in history}
    try:
        wholefile.write(path, pickle.dumps(plain))
    except OSError as error:
        raise HistoryError(
            f"{path} cannot be written ({error.strerror}): make room or choose another "
            "folder; what the file held before is unchanged"
        ) from error


def load(path: Path) -> dict:
    """Load a pickled history, of this project's or anyone's Keras, and check it.

    Python's own way to load a pickle can run code. This does not: see `picklereader`.

    Returns:
        A dict of metrics. `loss` and `val_loss`, and what `LossGap` has measured, are
        float arrays of one shape `(epochs,)`, with at least one epoch; NaN and
        infinity are numbers here. Other metrics are as they were saved.

    Raises:
        HistoryError: if the file is missing, damaged, unsafe, or not a history.
    """
    history = read(path)
    if type(history) is not dict:
        raise HistoryError(
            f"{path} is not a training history: it holds a {type(history).__name__}, "
            "not a dict"
        )
    for name in REPORTED:
        if name not in history:
            raise HistoryError(f"{path} has no {name}: train with validation data")
    losses = {
        name: as_numbers(history[name], f"{path} is damaged: {name}")
        for name in [*REPORTED, *MEASURED, HELD_OUT]
        if name in history
    }
    check_lengths(losses, f"{path} cannot be used: ")
    return {**history, **losses}


def read(path):
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            # A device or a pipe may be endless, or keep us waiting for ever.
            raise HistoryError(
                f"{path} is no regular file: give the file that fashion_mnist.py "
                "--history wrote"
            )
        with open(path, "rb") as file:
            data = file.read(picklereader.MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        # A ValueError is a null character in the name.
        reason = getattr(error, "strerror", None) or error
        raise HistoryError(
            f"{path} cannot be read ({reason}): give the file that fashion_mnist.py "
            "--history wrote"
        ) from error
    if not data:
        raise HistoryError(f"{path} is empty: train again")
    try:
        return picklereader.loads(data)
    except picklereader.UnsafePickleError as error:
        raise HistoryError(
            f"{path} was not loaded: it asks for {error}, which no training history "
            "needs and which could run code"
        ) from error
    except picklereader.DamagedPickleError as error:
        raise HistoryError(
            f"{path} is {error}: give the file that fashion_mnist.py --history wrote, "
            "or train again"
        ) from error


def as_numbers(values, where):
    # Item by item, before NumPy sees them: it would follow lists inside the list.
    if type(values) not in (list, picklereader.Array) or not all(
        type(value) in (int, float) for value in values
    ):
        raise HistoryError(f"{where} is not a list of numbers: train again")
    try:
        numbers = np.array([float(value) for value in values])
    except OverflowError as error:
        raise HistoryError(
            f"{where} has a number of many digits: train again"
        ) from error
    # Keras computes in float32: what is beyond is infinite, and cannot be drawn.
    too_large = np.abs(numbers) > np.finfo(np.float32).max
    return np.where(too_large, np.copysign(np.inf, numbers), numbers)


def check_lengths(losses, where=""):
    """Raise a HistoryError unless there is one number of each for each epoch."""
    lengths = {name: len(values) for name, values in losses.items()}
    if len(set(lengths.values())) > 1:
        raise HistoryError(
            f"{where}its lists have unequal lengths, "
            + ", ".join(f"{name} {length}" for name, length in lengths.items())
            + ": validate after every epoch, with validation_freq=1"
        )
    if 0 in lengths.values():
        raise HistoryError(f"{where}it has no epochs: train for at least one")


@np.errstate(invalid="ignore")  # a training that diverged has infinite losses
def split_gap(history) -> dict[str, np.ndarray]:
    """Split the gap `loss - val_loss` of each epoch into its reasons.

    Args:
        history: what `model.fit` returns, its `.history`, or what `load` returns,
            measured by `LossGap`.

    Returns:
        Arrays of the shape `(epochs,)`, in the unit of the loss, whose sum is the gap:

        - `timing`: the training loss is averaged during the epoch, while the network
          still learns, and the validation loss is taken after it;
        - `regularization`: dropout and the statistics of each batch are on in
          training mode and off in inference mode;
        - `memorization`, if `LossGap` had held-out data: the network knows the data
          that it is trained on (negative);
        - `data`: the validation data are easier (positive) or harder (negative) than
          held-out training data. Without held-out data it is this and memorization in
          one.

    Raises:
        HistoryError: if the history was not measured, or not in every epoch.

    Source: the three reasons are those of
    https://pyimagesearch.com/2019/10/14/why-is-my-validation-loss-lower-than-my-training-loss/
    """
    history = getattr(history, "history", history)
    missing = [name for name in REPORTED + MEASURED if name not in history]
    if missing:
        raise HistoryError(
            f"the gap was not measured, there is no {missing[0]}: train with "
            "fashion_mnist.py --explain, or with validation data and the callback LossGap"
        )
    names = [*REPORTED, *MEASURED, *[name for name in [HELD_OUT] if name in history]]
    losses = {name: np.asarray(history[name], dtype=float) for name in names}
    check_lengths(losses, "the gap cannot be split: ")
    loss, val_loss, training_mode_loss, inference_mode_loss, *held_out = losses.values()
    parts = {
        "timing": loss - training_mode_loss,
        "regularization": training_mode_loss - inference_mode_loss,
    }
    if held_out:
        parts["memorization"] = inference_mode_loss - held_out[0]
        parts["data"] = held_out[0] - val_loss
    else:
        parts["data"] = inference_mode_loss - val_loss
    return parts
