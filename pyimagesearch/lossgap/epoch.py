"""What an epoch leaves in the history: values and standard errors of each metric."""

import numpy as np

from .errors import Batches, errors_of_parts
from .metrics import COUNTS, values_of_batches
from .parts import error_key, key, parts_by_measurement


class Epoch:
    """What was measured after an epoch.

    Args:
        recorders: the `Recorder` of each pass, by its name, in their order.
        shares: of all batches, the share `n / N` that each pass has measured.
        validation: the logs after each batch of the validation, in their order.
        examples: how many are in what one of these is of.
        batches: how many `fit` has trained on.
        given: the names of what LossGap was given.
    """

    def __init__(self, recorders, shares, validation, examples, batches, given):
        self.recorders, self.shares, self.batches = recorders, shares, batches
        self.validation, self.examples_of_validation = validation, examples
        self.given = given

    def names(self):
        return [name for name in self.recorders if name != "validation"]

    def metrics(self, logs):
        """The names in the logs of `fit` of all that has a gap: one number, no count."""
        kinds = self.recorders["inference_mode"].metrics
        names = [name for name in logs if f"val_{name}" in logs]
        names = [name for name in names if not isinstance(kinds.get(name), COUNTS)]
        return [
            name
            for name in names
            if all(map(np.isscalar, [logs[name], *self.values(name).values()]))
        ]

    def values(self, metric):
        """What was measured of a metric, by the names in a history."""
        return {
            key(name, metric): self.recorders[name].logs[-1].get(metric)
            for name in self.names()
        }

    def errors(self, metric, depends_on_batch):
        """The standard errors of the metric's parts, by the names in a history.

        `depends_on_batch` leaves the part to the validation unknown, whose batches have
        another size.
        """
        parts = list(parts_by_measurement(self.names()).values())
        names = [*parts, "memorization_and_data", "validation"]
        errors = dict.fromkeys(names, np.nan)
        measured = {name: self.batches_of(name, metric) for name in self.names()}
        if all(batches is not None for batches in measured.values()):
            errors |= errors_of_parts(
                measured,
                self.batches_of_validation(metric),
                self.batches,
                other_draw="fit_data" in self.given,
                paired="plain" not in self.given,
            )
        if depends_on_batch:
            errors["memorization_and_data"] = errors[parts[-1]] = np.nan
        return {error_key(name, metric): error for name, error in errors.items()}

    def batches_of(self, name, metric):
        """The `Batches` of a pass, or None where they cannot be known."""
        recorder = self.recorders[name]
        values = recorder.values(metric)
        if values is None:
            return None
        losses, share = recorder.values("loss"), self.shares[name]
        return Batches(values, losses, share, recorder.examples)

    def batches_of_validation(self, metric):
        """Those of a sample, where single batches say nothing, or those of all."""
        if metric in self.recorders["inference_mode"].from_sums:
            return self.batches_of("validation", metric)
        both = [
            values_of_batches([logs[name] for logs in self.validation])
            for name in (metric, "loss")
        ]
        return Batches(*both, share=1.0, examples=self.examples_of_validation)
