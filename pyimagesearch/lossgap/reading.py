"""What a history tells of a metric's gap: numbers, and which of them are clear."""

from typing import NamedTuple

import numpy as np

from . import direction, parts

# What is more than this share of what is measured is large.
LARGE_SHARE = 1 / 10


class Worse(NamedTuple):
    """How much worse something does (negative: better), and its standard error."""

    by: float
    error: float

    def is_clear(self):
        """Whether it does worse, or probably so; never if the error is unknown."""
        return bool(self.by > 2 * self.error)

    def is_sure(self):
        """Whether that can be said without a "probably"."""
        return bool(self.by > 3 * self.error)

    def __neg__(self):
        return Worse(-self.by, self.error)


class Gap:
    """The gap of a metric, its parts, errors and measurements: a value for each epoch.

    Raises:
        ValueError: if it was not measured, or not in every epoch.
    """

    def __init__(self, history, metric="loss", higher_is_better=None):
        self.metric, self.history = metric, getattr(history, "history", history)
        self.values = parts.measurements(history, metric)
        self.parts = parts.split_gap(history, metric)
        self.errors = parts.standard_errors(history, metric)
        self.total = sum(self.parts.values())
        self.as_in_fit = [*self.values.values()][1]  # `fit`'s batches, after the epoch
        self.epochs = np.arange(1, len(self.total) + 1)
        if len(getattr(history, "epoch", [])) == len(self.total):
            self.epochs = np.array(history.epoch) + 1  # of a resumed training, too
        if higher_is_better is None:
            higher_is_better = direction.higher_is_better(history, metric)
        self.direction_is_known = higher_is_better is not None
        self.higher_is_better = bool(higher_is_better)
        self.sign = -1 if higher_is_better else 1  # of what is worse
        # The index of the validation's best epoch, of equal ones the latest.
        latest_first = self.sign * self.values["val"][::-1]
        self.best = len(self.epochs) - 1 - np.argmin(latest_first)
        self.all_is_measured = np.min(self.history.get("measured_share", 0)) == 1

    def part(self, name, epoch=-1):
        """How much worse the training does because of this part."""
        return Worse(self.sign * self.parts[name][epoch], self.errors[name][epoch])

    def alike(self, epoch=-1):
        """How much worse the training data do than the validation's, measured alike."""
        difference = self.values["inference_mode"] - self.values["val"]
        error = self.errors["memorization_and_data"][epoch]
        return Worse(self.sign * difference[epoch], error)


def large(gap, *values):
    """What is large beside these values: a tenth of the largest.

    Of an accuracy, or whatever is from 0 to 1, a tenth of what it lacks to 1: an error of
    0.09 says little of 0.94 and 0.8.
    """
    sizes = np.abs(values)
    if gap.higher_is_better and 0 <= min(values) and max(values) <= 1:
        sizes = 1 - sizes
    return LARGE_SHARE * max(sizes)


def since_best(gap):
    """How much worse the last epoch is than the best one, in three measurements.

    The validation; the training data with each batch's own statistics (without moving
    averages, which may lag); and what moving averages add. With both epochs' errors: of
    the same examples a change is surer than that.
    """
    inference = gap.values["inference_mode"]
    own_statistics = gap.values.get("batch_statistics", inference)
    error, both = gap.errors["validation"], gap.errors["memorization_and_data"]
    changes = [
        (gap.values["val"], error),
        (own_statistics, np.sqrt(np.maximum(both**2 - error**2, 0))),
        (inference - own_statistics, gap.errors.get("batch_normalization", 0 * error)),
    ]
    return [
        Worse(gap.sign * (x[-1] - x[gap.best]), np.hypot(errors[-1], errors[gap.best]))
        for x, errors in changes
    ]


def moving_averages_cost_much(gap):
    """Whether they make inference worse: by a tenth, or since the best epoch."""
    if "batch_normalization" not in gap.parts:
        return False
    cost = -gap.part("batch_normalization")
    is_large = cost.by > large(gap, gap.values["val"][-1])
    return cost.is_sure() and (is_large or moving_averages_explain(gap))


def moving_averages_explain(gap):
    """Whether they have added half of what the validation has got worse by, or more."""
    validation, _, moving_averages = since_best(gap)
    is_half = moving_averages.by > validation.by / 2
    return validation.is_clear() and moving_averages.is_sure() and is_half


def goes_apart(gap):
    """Whether the validation has got worse, and the training data not half as much."""
    validation, training, _ = since_best(gap)
    error = np.hypot(validation.error, 2 * training.error)
    is_more = Worse(validation.by - 2 * training.by, error).is_sure()
    return validation.is_clear() and is_more and not moving_averages_explain(gap)


def was_so_from_the_start(gap):
    """Whether half of what the validation does worse was there in its best epoch.

    Only if it has got worse since, or does worse than `fit`'s data in the first epoch.
    """
    then, now = -gap.alike(gap.best), -gap.alike()
    half_was_there = then.is_sure() and now.is_sure() and then.by > now.by / 2
    than_at_first = gap.sign * (gap.values["val"][-1] - gap.values[""][0])
    is_bad = Worse(than_at_first, gap.errors["validation"][-1]).is_sure()
    is_bad = is_bad and not moving_averages_cost_much(gap)  # which explain it
    return half_was_there and (is_bad or goes_apart(gap))


def was_better_within(gap):
    """Whether the last epoch's batches did much better as they came than after it.

    Only if the validation has not got half as much worse in it.
    """
    better, validation = -gap.part("timing"), gap.values["val"]
    if len(validation) == 1 or not better.is_sure():
        return False
    got_worse = gap.sign * (validation[-1] - validation[-2])
    is_large = better.by > large(gap, gap.as_in_fit[-1], validation[-1])
    return is_large and got_worse < better.by / 2


def has_improved(gap):
    """Whether the training data do clearly better than in the first epoch, or just after.

    In training mode as `fit` has them, or in inference mode; or whether it is unknown.
    """
    as_in_fit = gap.sign * gap.as_in_fit
    inference = gap.sign * gap.values["inference_mode"]
    at_first = max(gap.sign * gap.values[""][0], as_in_fit[0])
    timing, alike = gap.errors["timing"], gap.errors["memorization_and_data"]
    better = Worse(at_first - as_in_fit[-1], np.hypot(timing[0], timing[-1]))
    inferred = Worse(inference[0] - inference[-1], np.hypot(alike[0], alike[-1]))
    is_unknown = np.isnan(better.error) or np.isnan(inferred.error)
    return better.is_clear() or inferred.is_clear() or is_unknown
