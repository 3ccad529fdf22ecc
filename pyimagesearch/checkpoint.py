"""The training history, on disk after each epoch."""

from pathlib import Path

import keras

from pyimagesearch.history import save


class HistoryCheckpoint(keras.callbacks.History):
    """Keras' `History` that saves itself after each epoch.

    Until `finish`, the finished epochs are in `PATH.partial`, and `PATH` is as it was,
    so that neither Ctrl-C nor a kill costs more than the running epoch. Two trainings
    with one `PATH` overwrite each other's file.

    Args:
        path: where the whole history goes.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.partial = path.with_name(f"{path.name}.partial")
        self.saved_to = None

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        save(self.history, self.partial)
        self.saved_to = self.partial

    def finish(self):
        """Save the whole history to its own name."""
        save(self.history, self.path)
        self.saved_to = self.path
        self.partial.unlink()
