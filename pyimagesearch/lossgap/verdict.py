"""What a gap means: training and validation measured alike, and what to do."""

import numpy as np

from .parts import is_probable, may_be_chance

# What batch normalization costs the validation is said beyond this share of it.
LARGE = 1 / 10

DOUBT = """Timing is in doubt: with nearly the same weights, {} is {:.4f} on the data of `fit`, and {:.4f} on those
of LossGap. `fit` may have them augmented, weighted, in other batches, in one order in all epochs (sorted, or
arrays with a seed), or fewer by validation_split. Give LossGap no x where `fit` has arrays: it reads them."""
LAGGING = """Batch normalization makes the validation worse by more than a tenth. Most often its moving averages
lag: more updates help, a smaller momentum of BatchNormalization, or computing the statistics anew."""
OVERFITS = "What to do: keep the best epoch (EarlyStopping), or more data, augmentation or dropout."
DIVERGES = "What to do: a smaller learning rate, for example, as the training data do worse, too."
EASIER = """What to do: the validation's data {}do better. Look at the split, at copies of training data
(`count_copies`), and at how both are prepared and weighted."""
UNKNOWN = (
    "Whether the validation's data do better cannot be said: its error is unknown."
)
ALIKE = "Nothing shows a fault: measured alike, the validation's data do not clearly do better."
KNOWN = """Nothing shows a fault: the network {}does better on the data that it has seen, as most do,
or the validation's are harder or prepared otherwise."""


def verdict(gap, doubt):
    """The lines that end the words: how both compare, the best epoch, what to do."""
    change = ChangeSinceBest(gap)
    lines = [measured_alike(gap)]
    if len(gap.finite) > 1:
        lines.append(change.in_words())
    faults = [doubt]
    if batch_normalization_lags(gap):
        faults.append(LAGGING)
    if change.is_clear():
        faults.append(OVERFITS if change.overfits() else DIVERGES)
    faults.append(easier(gap))
    found = [fault for fault in faults if fault]
    return lines + (found or [no_fault(gap)])


def doubt_about_timing(gap):
    """Say that `fit` has other data than LossGap, where its first batches show it.

    An epoch's first eighth has nearly the weights measured after the epoch before: the
    same mean, but for three errors, and for what gets better within the epochs.
    """
    measured = gap.values.get("fit_data", gap.values["training_mode"])
    if "first_batches" not in gap.errors or len(gap.first_batches) != len(measured):
        return ""
    errors = gap.errors["first_batches"]
    rows = np.array([gap.first_batches[1:], errors[1:], measured[:-1], measured[1:]])
    first, error, before, after = rows[:, np.isfinite(rows).all(axis=0)]
    chance = 3 * np.sqrt(np.sum(error**2))
    # Summed over the epochs, it gets better by what the last is better than the first.
    change = np.sum(after - before)
    improvement = change if gap.is_worse(-change) else 0.0
    difference = np.sum(first - before)
    if min(0, improvement) - chance <= difference <= max(0, improvement) + chance:
        return ""
    return DOUBT.format(gap.metric, first.mean(), before.mean())


def measured_alike(gap):
    differences, errors = gap.measured_alike()
    last = gap.finite[-1]
    difference = differences[last]
    value = f"{gap.metric} is {gap.values['inference_mode'][last]:.4f}"
    size, chance = f"{abs(difference):.4f}", ""
    if errors is not None:
        size += f" +- {errors[last]:.4f}"
        chance = (
            ", which may be chance" if may_be_chance(difference, errors[last]) else ""
        )
    side = "above" if difference > 0 else "below"
    return (
        "Measured alike (inference mode, after the epoch), the training data's "
        f"{value},\n{size} {side} the validation's{chance}."
    )


class ChangeSinceBest:
    """How the validation has changed since its best epoch; of equal ones the latest."""

    def __init__(self, gap):
        self.gap = gap
        values, training = gap.values["val"], gap.values["inference_mode"]
        sign = -1 if gap.higher_is_better else 1
        latest_first = gap.finite[::-1]
        self.last = gap.finite[-1]
        self.best = latest_first[np.argmin(sign * values[latest_first])]
        self.worse = sign * (values[self.last] - values[self.best])
        self.training_worse = sign * (training[self.last] - training[self.best])
        # Both epochs' errors; of the same examples the change is surer than that.
        errors = gap.error_of_validation()
        self.error = np.hypot(errors[self.last], errors[self.best])

    def is_clear(self):
        return self.worse > 0 and not may_be_chance(self.worse, self.error)

    def overfits(self):
        """Whether it is clearly worse, and the training data are not as much."""
        return self.is_clear() and self.training_worse < self.worse / 2

    def in_words(self):
        gap = self.gap
        best = "highest" if gap.higher_is_better else "lowest"
        line = f"val_{gap.metric} was {best} in "
        if self.best == self.last:
            return f"{line}the last epoch."
        value = gap.values["val"][self.best]
        epochs = f"epoch {gap.epochs[self.best]} of {gap.epochs[-1]} ({value:.4f})"
        if np.isnan(self.error):
            return f"{line}{epochs}."
        changed = "fallen" if gap.higher_is_better else "risen"
        if not self.is_clear():
            return f"{line}{epochs}, and has not clearly {changed} since."
        probably = "probably " if is_probable(self.worse, self.error) else ""
        where = "it does worse on the training data, too"
        if self.overfits():
            where = f"the network {probably}overfits"
        changed = f"has {probably}{changed} by {self.worse:.4f} since"
        return f"{line}{epochs}, and {changed}: {where}."


def batch_normalization_lags(gap):
    if "batch_normalization" not in gap.parts:
        return False
    part, error, last = last_of(gap, "batch_normalization", unknown=0.0)
    is_large = abs(part) > LARGE * abs(gap.values["val"][last])
    return gap.is_worse(-part) and is_large and not may_be_chance(part, error)


def easier(gap):
    """That the validation's data do better than held-out or training data, if so."""
    part, error, last = last_of(gap, list(gap.parts)[-1], unknown=np.nan)
    if np.isnan(error):
        return ""
    differences, errors = gap.measured_alike()
    for compared in [(part, error), (differences[last], errors[last])]:
        if gap.is_worse(compared[0]) and not may_be_chance(*compared):
            return EASIER.format("probably " if is_probable(*compared) else "")
    return ""


def no_fault(gap):
    """What shows no fault, or that this cannot be said."""
    _, error, last = last_of(gap, list(gap.parts)[-1], unknown=np.nan)
    if np.isnan(error):
        return UNKNOWN
    differences, errors = gap.measured_alike()
    difference, error = differences[last], errors[last]
    if may_be_chance(difference, error):
        return ALIKE
    return KNOWN.format("probably " if is_probable(difference, error) else "")


def last_of(gap, name, unknown):
    """A part in the last finite epoch, and its error, which may not be recorded."""
    last = gap.finite[-1]
    error = gap.errors[name][last] if name in gap.errors else unknown
    return gap.parts[name][last], error, last
