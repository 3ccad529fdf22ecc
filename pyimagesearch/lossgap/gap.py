"""A metric's gap, as a history tells it: what the words and the verdict speak of."""

import numpy as np

from . import direction
from .parts import (
    error_key,
    measurements,
    numbers_of_epochs,
    split_gap,
    standard_errors,
)


class Gap:
    """The gap of a metric, its parts, errors and measurements: a value for each epoch.

    Raises:
        ValueError: if it was not measured, or not in every epoch.
    """

    def __init__(self, history, metric="loss", higher_is_better=None):
        if higher_is_better is None:
            higher_is_better = direction.higher_is_better(history, metric)
        self.metric = metric
        self.higher_is_better = higher_is_better
        self.epochs = numbers_of_epochs(history, metric)
        self.parts = split_gap(history, metric)
        self.total = sum(self.parts.values())
        self.errors = standard_errors(history, metric)
        self.values = measurements(history, metric)
        self.finite = np.flatnonzero(np.isfinite(self.total))
        series = getattr(history, "history", history)
        self.first_batches = np.array(series.get(f"first_batches_{metric}", []), float)
        self.loss_has_errors = error_key("validation", "loss") in series

    def is_worse(self, difference):
        """Whether what is higher by this does worse."""
        return difference < 0 if self.higher_is_better else difference > 0

    def measured_alike(self):
        """Training minus validation in inference mode after the epoch, and its error.

        The error is None if none was recorded.
        """
        difference = self.values["inference_mode"] - self.values["val"]
        if "memorization_and_data" in self.errors:
            return difference, self.errors["memorization_and_data"]
        if "data" in self.errors:  # of an earlier version: this is somewhat too large
            return difference, np.hypot(
                self.errors["memorization"], self.errors["data"]
            )
        return difference, None

    def error_of_validation(self):
        """The error of the validation's own mean; `nan` if none was recorded."""
        unknown = np.full(len(self.total), np.nan)
        last_part = self.errors.get(list(self.parts)[-1], unknown)
        # An earlier version has it in that of the last part only, which is larger.
        return self.errors.get("validation", last_part)
