"""Where the validation's inputs or labels are unlike those of `fit`, in numbers.

The commonest cause of a strange validation: pixels that are not divided by 255, a column
in other units, one class only. It shows in means and spreads.
"""

from collections import namedtuple

import numpy as np

# Means differ by so much of the larger spread, and by so many standard errors.
HALF = 1 / 2
ERRORS_OF_MEANS = 5
# Spreads differ by such a factor, and by so many standard errors, of enough examples.
FACTOR = 2
ERRORS_OF_SPREADS = 6
ENOUGH = 30
# That all examples are the same is no luck if it has less than this chance.
CHANCE = 1e-6
# Numbers that differ by no more than this part of them are the same.
ROUNDING = 1e-6

# Of each example and feature, arrays of the shape `(examples, features)`.
Moments = namedtuple("Moments", "means mean_squares")


def differences(of_fit, of_validation):
    """What differs by more than chance: a list of lines, `x: mean 0.28 in ...`.

    Args:
        of_fit: batches, each `(x, y)` or more.
        of_validation: batches of the validation.
    """
    ours, others = arrays_by_name(of_fit), arrays_by_name(of_validation)
    found = []
    for name in [name for name in ours if name in others]:
        both = moments_of(ours[name], others[name])
        line = constant(*both) or other_mean(*both) or other_spread(*both)
        if line:
            found.append(f"{name}{line}")
    return found


def arrays_by_name(batches):
    """The arrays of all batches, by the name of the input or label: `x`, `x['age']`."""
    arrays = {}
    for batch in batches:
        for name, part in zip(["x", "y"], batch):
            for path, array in named_arrays(name, part):
                arrays.setdefault(path, []).append(array)
    return arrays


def named_arrays(name, part):
    if isinstance(part, dict):
        for key in part:
            yield from named_arrays(f"{name}[{key!r}]", part[key])
    elif isinstance(part, (list, tuple)):
        for i, inner in enumerate(part):
            yield from named_arrays(f"{name}[{i}]", inner)
    elif hasattr(part, "numpy") and hasattr(part, "dtype"):
        array = np.asarray(part)
        if array.dtype.kind in "biuf" and array.size > 0:  # numbers
            yield name, array


def moments_of(ours, others):
    """The `Moments` of both lists of arrays; features are the last axis of these."""
    widths = {array.shape[-1] if array.ndim > 1 else 1 for array in [*ours, *others]}
    features = widths.pop() if len(widths) == 1 else 1  # sequences of other lengths
    both = []
    for arrays in (ours, others):
        rows = [x.reshape(len(x), -1, features).astype("float64") for x in arrays]
        means = np.concatenate([x.mean(axis=1) for x in rows])
        mean_squares = np.concatenate([(x**2).mean(axis=1) for x in rows])
        both.append(Moments(means, mean_squares))
    return both


def spread(mean, mean_square):
    return np.sqrt(np.maximum(mean_square - mean**2, 0))


def spread_of_all(moments):
    return spread(moments.means.mean(), moments.mean_squares.mean())


def error_of_spread(moments):
    """The standard error of the spread of all, from that of its square."""
    mean = moments.means.mean()
    squares = (moments.mean_squares - 2 * mean * moments.means + mean**2).mean(axis=1)
    return squares.std() / np.sqrt(len(squares)) / 2 / spread_of_all(moments)


def constant(ours, others):
    """That all is one number in one of both, if that is no luck."""
    for same, different, where in [
        (ours, others, "`fit`"),
        (others, ours, "the validation"),
    ]:
        value = same.means.mean()
        rounding = ROUNDING * abs(value)
        if spread_of_all(same) > rounding or spread_of_all(different) <= rounding:
            continue
        equal = np.abs(different.means - value).max(axis=1) <= rounding
        # The share of such examples, where there could be one more.
        chance = (equal.sum() + 1) / (len(equal) + 1)
        if chance ** len(same.means) < CHANCE:
            return f": {value:.3g} in all of {where}"
    return ""


def other_mean(ours, others):
    """The feature whose means differ the most, if beyond chance."""
    both = ours, others
    a, b = (x.means.mean(axis=0) for x in both)
    spreads = [spread(x.means.mean(axis=0), x.mean_squares.mean(axis=0)) for x in both]
    # A few examples may be alike by luck, which the others know better.
    of_examples = np.maximum(*(x.means.std(axis=0) for x in both))
    error = of_examples * np.sqrt(sum(1 / len(x.means) for x in both))
    distance, largest = np.abs(a - b), np.maximum(*spreads)
    rounding = ROUNDING * np.maximum(np.abs(a), np.abs(b))
    differs = distance > np.maximum(HALF * largest, rounding)
    differs &= distance > ERRORS_OF_MEANS * error
    if not differs.any():
        return ""
    most = np.argmax(differs * distance / np.maximum(largest, rounding + ROUNDING))
    feature = f"[..., {most}]" if len(a) > 1 else ""
    return f"{feature}: mean {a[most]:.3g} in `fit`, {b[most]:.3g} in the validation"


def other_spread(ours, others):
    """The spread of a whole input, if it differs beyond chance."""
    if min(len(ours.means), len(others.means)) < ENOUGH:
        return ""
    a, b = spread_of_all(ours), spread_of_all(others)
    if min(a, b) == 0 or max(a, b) <= FACTOR * min(a, b):
        return ""
    error = np.hypot(error_of_spread(ours), error_of_spread(others))
    if abs(a - b) <= ERRORS_OF_SPREADS * error:
        return ""
    return f": spread {a:.3g} in `fit`, {b:.3g} in the validation"
