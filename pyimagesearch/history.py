"""Training histories: save them, load them, and split the gap between the losses.

A history is what Keras' `model.fit(...).history` is: a dict with a list of numbers
for each metric, one number an epoch. This module needs no TensorFlow.
"""

import os
import pickle
from pathlib import Path

import numpy as np

from pyimagesearch import safepickle

# The two losses of every history, and the two that LossGap adds.
REPORTED = ["loss", "val_loss"]
MEASURED = ["training_mode_loss", "inference_mode_loss"]


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
            "folder; what the file held before is unchanged"
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that readers see either whole or not at all.

    Raises:
        OSError: if it cannot be written; a file already there is unchanged.
    """
    # The bytes go to a file beside `path`, which takes its name only when they are all
    # on the disk: neither a crash nor a full disk leaves half a file.
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        rename(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def rename(source: Path, target: Path) -> None:
    """Give a file another name in its folder, in one step that outlasts a power cut.

    Raises:
        OSError: if that fails; both files are unchanged.
    """
    os.replace(source, target)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load(path: Path) -> dict:
    """Load a pickled history, of this project's or anyone's Keras, and check it.

    Loading a pickle can run code. This does not: see `safepickle`.

    Returns:
        A dict of metrics. `loss` and `val_loss`, and what `LossGap` has measured, are
        float arrays of one shape `(epochs,)`, with at least one epoch; NaN and
        infinity are numbers here. Other metrics are as they were saved.

    Raises:
        HistoryError: if the file is missing, damaged, unsafe, or not a history.
    """
    history = read(path)
    if not isinstance(history, dict):
        raise HistoryError(
            f"{path} is not a training history: it holds a {type(history).__name__}, "
            "not a dict"
        )
    for name in REPORTED:
        if name not in history:
            raise HistoryError(f"{path} has no {name}: train with validation data")
    for name in REPORTED + MEASURED:
        if name in history:
            history[name] = as_numbers(history[name], f"{path} is damaged: {name}")
    epochs = {
        name: len(history[name]) for name in REPORTED + MEASURED if name in history
    }
    if len(set(epochs.values())) > 1:
        raise HistoryError(
            f"{path} is damaged: its lists have unequal lengths, "
            + ", ".join(f"{name} {length}" for name, length in epochs.items())
        )
    if epochs["loss"] == 0:
        raise HistoryError(f"{path} has no epochs: train for at least one")
    return history


def read(path):
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HistoryError(
            f"{path} cannot be read ({error.strerror}): give the file that "
            "fashion_mnist.py --history wrote"
        ) from error
    if not data:
        raise HistoryError(f"{path} is empty: train again")
    try:
        return safepickle.loads(data)
    except safepickle.UnsafePickleError as error:
        raise HistoryError(
            f"{path} was not loaded: it asks for {error}, which no training history "
            "needs and which could run code"
        ) from error
    except Exception as error:
        # Damaged data can raise anything, says the manual of pickle.
        cut_short = data.startswith(b"\x80") and not data.endswith(b".")
        what = "cut short" if cut_short else "damaged or not a pickle"
        raise HistoryError(f"{path} is {what}: train again") from error


def as_numbers(values, where):
    try:
        numbers = np.asarray(values)
    except ValueError as error:  # lists of unequal lengths inside the list
        raise HistoryError(f"{where} is not a list of numbers") from error
    # NumPy would read text such as "0.5" as a number too.
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        raise HistoryError(f"{where} is not a list of numbers")
    return numbers.astype(float)


def split_gap(history: dict) -> dict[str, np.ndarray]:
    """Split the gap `loss - val_loss` of each epoch into its three reasons.

    Args:
        history: a history that `LossGap` has measured, from `load` or from
            `model.fit(...).history`.

    Returns:
        Three arrays of the shape `(epochs,)`, in the unit of the loss, whose sum is
        the gap:

        - `timing`: the training loss is averaged during the epoch, while the network
          still learns, and the validation loss is taken after it;
        - `regularization`: dropout and the statistics of each batch are on in
          training mode and off in inference mode;
        - `data`: the training images are not the validation images.

    Raises:
        HistoryError: if the history was not measured.

    Source: the three reasons are those of
    https://pyimagesearch.com/2019/10/14/why-is-my-validation-loss-lower-than-my-training-loss/
    """
    missing = [name for name in REPORTED + MEASURED if name not in history]
    if missing:
        raise HistoryError(
            f"the gap was not measured, there is no {missing[0]}: train with "
            "fashion_mnist.py --explain, or with validation data and the callback LossGap"
        )
    loss, val_loss, training_mode_loss, inference_mode_loss = (
        np.asarray(history[name], dtype=float) for name in REPORTED + MEASURED
    )
    # A training that diverged has infinite losses, and their difference is NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            "timing": loss - training_mode_loss,
            "regularization": training_mode_loss - inference_mode_loss,
            "data": inference_mode_loss - val_loss,
        }
