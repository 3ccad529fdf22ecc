"""A training history that is kept on disk while the training runs."""

import itertools
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import keras

from pyimagesearch import wholefile
from pyimagesearch.history import HistoryError, load, save

PLOT_SHIFT = Path(__file__).resolve().parents[1] / "plot_shift.py"


class KeptHistory(keras.callbacks.History):
    """Keras' history, on disk after each epoch, so that no end of the run loses it.

    Until `finish`, the finished epochs are in `PATH.partial` or, where that name is
    taken by another training that runs or was stopped, in `PATH.2.partial` and so on.

    Ctrl-C takes effect at the end of a batch: in the middle of TensorFlow's work it
    would come out as another error. The second Ctrl-C takes effect at once.

    Args:
        path: where the whole history goes. Where it is a link, the file that it leads
            to is replaced.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = Path(os.path.realpath(path))
        self.partial = None
        self.before = identity(self.path)
        self.interrupted = False

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        # In the background of a shell Ctrl-C is ignored, and stays so.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self.interrupt)

    def interrupt(self, number, frame):
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, batch, logs=None):
        if self.interrupted:
            raise KeyboardInterrupt

    on_test_batch_end = on_train_batch_end

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.partial = self.partial or new_partial(self.path)
        try:
            save(self.history, self.partial)
        except HistoryError:
            drop_if_empty(self.partial)
            raise
        self.on_train_batch_end(epoch)

    def on_train_end(self, logs=None):
        if signal.getsignal(signal.SIGINT) == self.interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def finish(self):
        """Give the whole history its name.

        Raises:
            HistoryError: if that fails, or if another training has written the file
                since this one began; the whole history is in the partial file.
        """
        left = f"the whole history is in {self.partial}, move it by hand"
        if identity(self.path) != self.before:
            raise HistoryError(
                f"{self.path} was written by another program while this one trained: "
                + left
            )
        try:
            wholefile.rename(self.partial, self.path)
        except OSError as error:
            raise HistoryError(
                f"{self.path} cannot be written ({error.strerror}): {left}"
            ) from error

    def left(self) -> str:
        """Say what of this training is on disk: true whenever it is asked."""
        # Only the last rename takes the partial file away.
        if self.partial:
            file = self.partial if self.partial.exists() else self.path
            try:
                epochs = len(load(file)["loss"])
            except HistoryError:
                drop_if_empty(self.partial)
                if file.exists():
                    return f"the finished epochs are in {file}"
            else:
                command = [sys.executable, str(PLOT_SHIFT), "--input", str(file)]
                return f"finished epochs: {epochs}, in {file}; plot them with: " + (
                    subprocess.list2cmdline(command)
                    if os.name == "nt"
                    else shlex.join(command)
                )
        return "no epoch was finished, nothing is saved"


def new_partial(path):
    """Make an empty partial file for `path` that is nobody else's."""
    for number in itertools.count(1):
        middle = "" if number == 1 else f".{number}"
        partial = path.with_name(f"{path.name}{middle}.partial")
        try:
            open(partial, "xb").close()
            return partial
        except FileExistsError:
            continue
        except OSError as error:
            raise HistoryError(
                f"{partial} cannot be written ({error.strerror}): make room or choose "
                "another folder"
            ) from error


def drop_if_empty(partial):
    """Remove a partial file that was made for the first epoch and got no bytes."""
    if partial.exists() and partial.stat().st_size == 0:
        partial.unlink()


def identity(path):
    """Return what changes when a file is written anew, or None if it is not there."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
