"""What an epoch leaves in the history: values and standard errors of each metric."""

import math

import numpy as np

from .errors import Batches, errors_of_parts, of_first_batches
from .metrics import values_of_batches
from .parts import error_key, key, parts_by_measurement
from .samples import Arrays

# The share of an epoch's batches that count as its first ones: their weights are nearly
# those that were measured after the epoch before.
FIRST = 1 / 8


class Epoch:
    """The logs of an epoch's batches, and what was measured after it.

    Args:
        sources: what drew the samples, by their names.
        steps_per_execution: batches after which there is a log.
    """

    def __init__(self, sources, steps_per_execution):
        self.sources = sources
        self.steps_per_execution = steps_per_execution
        self.training, self.validation = {}, {}  # by the number of the batch
        self.measured = {}  # a `Recorder` of each pass, by its name

    def values(self, metric):
        """What was measured of a metric, by the names in a history."""
        return {
            key(name, metric): self.measured[name].logs[-1].get(metric)
            for name in self.modes()
        }

    def errors(self, metric, batches, depends_on_batch):
        """The standard errors of the metric's parts, by the names in a history.

        `batches` are those of `batches(metric)`; `depends_on_batch` leaves the part to the
        validation unknown, whose batches have another size.
        """
        parts = list(parts_by_measurement(self.modes()).values())
        if batches is None:
            # None of the validation, by which the words know that there never is one.
            errors = dict.fromkeys([*parts, "memorization_and_data"], np.nan)
        else:
            validation = self.batches_of_validation(metric)
            errors = errors_of_parts(batches, validation, len(self.training))
        if depends_on_batch:
            errors["memorization_and_data"] = errors[parts[-1]] = np.nan
        return {error_key(name, metric): error for name, error in errors.items()}

    def first_batches(self, metric, batches):
        """The metric over `fit`'s first batches, and the error of its difference."""
        first = max(1, int(len(self.training) * FIRST))
        logs = self.training[sorted(self.training)[first - 1]]
        error = np.nan
        if batches is not None:
            as_fit = next(iter(batches.values()))
            error = np.sqrt(of_first_batches(as_fit, first))
        key_of_error = error_key("first_batches", metric)
        return {f"first_batches_{metric}": logs[metric], key_of_error: error}

    def modes(self):
        return [name for name in self.measured if name != "validation"]

    def batches(self, metric):
        """The `Batches` of each measurement, or None if they cannot be known."""
        values = {name: self.measured[name].values(metric) for name in self.modes()}
        if any(of_batches is None for of_batches in values.values()):
            return None
        losses = {name: self.measured[name].values("loss") for name in values}
        return {
            name: Batches(
                values[name], losses[name], self.share(name, len(losses[name]))
            )
            for name in values
        }

    def share(self, name, n):
        """The share `n / N` of its source's batches that a pass has measured.

        It is 0 where they are unknown, and of another draw of the data: a data set that
        augments anew, and for timing what has not as many as `fit`'s epoch (one more or
        less is a last batch that is smaller, and left out or not).
        """
        source = self.sources[name if name in self.sources else "x"]
        batches = math.ceil(source.batches / self.steps_per_execution)
        is_for_timing = name == next(iter(self.measured))
        has_other_number = abs(batches - len(self.training)) > 1
        if batches == 0 or (is_for_timing and has_other_number):
            return 0.0
        if name == "fit_data" and not isinstance(source, Arrays):
            return 0.0
        return n / batches

    def batches_of_validation(self, metric):
        if "validation" in self.measured:
            recorder = self.measured["validation"]
            return Batches(recorder.values(metric), recorder.values("loss"))
        logs = [self.validation[batch] for batch in sorted(self.validation)]
        if metric in self.measured["inference_mode"].from_sums:
            logs = []  # they are no means
        both = [values_of_batches([x[name] for x in logs]) for name in (metric, "loss")]
        return Batches(*both)
