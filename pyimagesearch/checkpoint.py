"""The training history, on disk after each epoch."""

from pathlib import Path

import keras

from pyimagesearch.history import save


class HistoryCheckpoint(keras.callbacks.History):
    """Keras' `History` that saves itself to `PATH.partial` after each epoch.

    So neither Ctrl-C nor a kill costs more than the running epoch. Two trainings with
    one `PATH` overwrite each other's file.

    Args:
        path: `PATH`, where the history goes in the end.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.partial = path.with_name(f"{path.name}.partial")
        self.saved = False

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        save(self.history, self.partial)
        self.saved = True
