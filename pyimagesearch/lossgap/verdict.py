"""What a gap means: how both compare, measured alike, and what to look at."""

import numpy as np

from . import reading
from .parts import may_be_chance

# Smaller than this, a number is printed as 0.0000.
ZERO = 5e-5

SORTED = """In the last epoch the batches did better by {:.4f} as they came than after it, and the validation
has not got worse as much. This happens where data are sorted or badly mixed (a larger shuffle buffer
helps), or where the learning rate rises within each epoch, or is too large."""
MOVING_AVERAGES = """Batch normalization makes inference worse: its moving averages cost the training data {:.4f}.
They lag (more updates, a smaller momentum of BatchNormalization, or computing them anew helps), or are
of data that augmentation or dropout has changed, or the batches of `fit` are very small, or each of its
own kind (sorted data)."""
TRAINING_TOO = "{} has {}, too, by {:.4f}: a smaller learning rate, for example."
NOT_HALF_AS_MUCH = """{} has not {} half as much. This happens
where a network overfits (keep the best epoch, more data, augmentation or dropout), where the
validation's data are drawn or prepared otherwise, or where val_{} only goes up and down."""
CANNOT_BE_TOLD = "Whether {} has, too, cannot be told: keep the best epoch."
PREPARATION_FIRST = """Half of what the validation does worse was there in its best epoch already: look at its labels and
preparation before all else; or the training data are few, and were known by heart by then."""
EASIER = """The {1} {2}do better than the {0}, measured alike: look at the split,
at copies (`count_copies`), and at how both are labelled, prepared, augmented and weighted."""
KNOWN = """The {0} {2}do better than the {1}, measured alike: the network knows them,
as most do, or the {1} are harder, or prepared or weighted otherwise."""
WHICH = "Held-out data (`held_out`) would tell which."
HARDER = "The {0} {2}do better than the {1}: these are harder, or prepared or weighted otherwise."
NOT_IMPROVED = """The training data's {} has not clearly improved in or since the first epoch: nothing is learnt, or too
little for its error (look at the labels, the last layer with its loss, and the learning rate),
it was at its best before, or it is no measure of this task."""
UNSURE = """Whether something is at fault cannot be said: an error is unknown, or too large to tell."""
NO_FAULT = """Nothing shows a fault in the gap: measured alike, training and validation cannot be told apart, as copies
could not (`count_copies`). If that is not good enough: more epochs, less regularization, a larger
network or another learning rate."""


def verdict(gap):
    """The lines that end the words: facts first, then what to look at.

    A fault is named only if its fact holds beyond chance, and with what else it may be.
    """
    facts, lines = [measured_alike(gap), *lines_of_best(gap)], []
    if reading.was_better_within(gap):
        lines.append(SORTED.format(abs(gap.parts["timing"][-1])))
    if reading.moving_averages_cost_much(gap):
        lines.append(MOVING_AVERAGES.format(abs(gap.parts["batch_normalization"][-1])))
    rise = lines_of_rise(gap)
    lines += rise + lines_of_comparisons(gap)
    if reading.was_so_from_the_start(gap):
        lines.append(PREPARATION_FIRST)
    if not rise and not reading.has_improved(gap):
        lines.append(NOT_IMPROVED.format(gap.metric))
    if not lines:
        both = gap.values["inference_mode"][-1], gap.values["val"][-1]
        is_small = gap.alike().error <= reading.large(gap, *both)
        lines = [NO_FAULT if is_small else UNSURE]
    return facts + lines


def probably(worse):
    return "" if worse.is_sure() or (-worse).is_sure() else "probably "


def measured_alike(gap):
    worse, value = gap.alike(), gap.values["inference_mode"][-1]
    difference = value - gap.values["val"][-1]
    side = "above" if difference > 0 else "below"
    how = f"{abs(difference):.4f} +- {worse.error:.4f} {side} the validation's"
    if abs(difference) < ZERO:
        how = "to four decimals the same as the validation's"
    elif np.isnan(worse.error):
        how = f"{abs(difference):.4f} {side} the validation's, by an unknown error"
    elif may_be_chance(*worse):
        how += ", which may be chance"
    alike = "Measured alike (inference mode, after the last epoch)"
    return f"{alike}, the training data's {gap.metric} is {value:.4f},\n{how}."


def lines_of_best(gap):
    """Where the validation was best, and whether it has clearly got worse since."""
    values, best = gap.values["val"], gap.best
    if len(values) == 1:
        return []
    line = f"val_{gap.metric} was {'highest' if gap.higher_is_better else 'lowest'} in "
    if best == len(values) - 1:
        return [f"{line}the last epoch."]
    line += f"epoch {gap.epochs[best]} of {gap.epochs[-1]} ({values[best]:.4f}), and"
    rise, _, _ = reading.since_best(gap)
    if np.isnan(rise.error):
        return [f"{line} whether it has {risen(gap)} since cannot be told."]
    if not rise.is_clear():
        return [f"{line} has not clearly {risen(gap)} since."]
    return [f"{line} has {probably(rise)}{risen(gap)} by {rise.by:.4f} since."]


def risen(gap):
    return "fallen" if gap.higher_is_better else "risen"


def lines_of_rise(gap):
    """Where the validation has clearly got worse: whether the training data have, too."""
    validation, training, _ = reading.since_best(gap)
    if not validation.is_clear():
        return []
    lines, its = [], "the training data's"
    if "batch_statistics" in gap.values:
        its += " with each batch's own statistics"
    if training.is_sure():
        lines.append(TRAINING_TOO.format(its.capitalize(), risen(gap), training.by))
    if reading.goes_apart(gap):
        subject = "But it" if lines else its.capitalize()
        lines.append(NOT_HALF_AS_MUCH.format(subject, risen(gap), gap.metric))
    elif not lines and not reading.moving_averages_explain(gap):
        lines.append(CANNOT_BE_TOLD.format(its))
    return lines


def lines_of_comparisons(gap):
    """Which data clearly do better than others, and what that may come from."""
    training, held_out, val = "training data", "held-out data", "validation's data"
    pairs = [(training, val, gap.alike())]
    if "held_out" in gap.values:
        apart = [(training, held_out, gap.part("memorization"))]
        apart.append((held_out, val, gap.part("data")))
        pairs = [x for x in apart if not may_be_chance(*x[2])] or pairs
    lines = []
    for first, second, worse in pairs:
        names = first, second, probably(worse)
        if worse.is_clear():
            lines.append(EASIER.format(*names))
        elif (-worse).is_clear() and first == held_out:
            lines.append(HARDER.format(*names))
        elif (-worse).is_clear() and not reading.goes_apart(gap):
            lines.append(KNOWN.format(*names))
            lines += [] if "held_out" in gap.values else [WHICH]
    return lines
