"""What an epoch leaves in the history: values and standard errors of each metric."""

import numpy as np

from .errors import errors_of_parts
from .metrics import COUNTS, is_from_sums
from .parts import error_key, key, parts_by_measurement


class Epoch:
    """The `Recorder` of each pass after an epoch, and that of the validation.

    The latter has no sums. `batches` is how many `fit` has trained on, and `given` what
    LossGap was given.
    """

    def __init__(self, recorders, validation, batches, given):
        self.sample = recorders.pop("validation_sample", None)
        self.recorders, self.validation = recorders, validation
        self.batches, self.given = batches, given

    def share_of_fit(self):
        """The smallest share of the data of `fit`, or of what stands for them."""
        as_fit = self.recorders.get("fit_data", self.recorders["training_mode"])
        return min(as_fit.share, self.recorders["training_mode"].share)

    def has_gap(self, metric, logs):
        """Whether a name in the logs of `fit` is that of one number, and of no count."""
        if isinstance(self.validation.metrics.get(metric), COUNTS):
            return False
        values = [logs[metric], *self.values(metric).values()]
        return f"val_{metric}" in logs and all(map(np.isscalar, values))

    def values(self, metric):
        """What was measured of a metric, by the names in a history."""
        return {
            key(name, metric): recorder.logs[-1].get(metric)
            for name, recorder in self.recorders.items()
        }

    def errors(self, metric, depends_on_batch):
        """The standard errors of the metric's parts, by the names in a history.

        If it depends on the batch, the part to the validation is unknown.
        """
        parts = list(parts_by_measurement(self.recorders).values())
        names = [*parts, "memorization_and_data", "validation"]
        errors = dict.fromkeys(names, np.nan)
        measured = {name: x.batches(metric) for name, x in self.recorders.items()}
        if all(batches is not None for batches in measured.values()):
            # Of sums, single batches of the validation are known of a sample only.
            of_sums = is_from_sums(self.validation.metrics.get(metric))
            validation = self.sample if of_sums else self.validation
            errors |= errors_of_parts(
                measured,
                validation.batches(metric),
                self.batches,
                other_draw="fit_data" in self.given,
                paired="plain" not in self.given,
            )
        if depends_on_batch:
            errors["memorization_and_data"] = errors[parts[-1]] = np.nan
        return {error_key(name, metric): error for name, error in errors.items()}
