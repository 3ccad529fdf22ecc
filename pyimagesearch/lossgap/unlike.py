"""Where the validation's inputs or labels are unlike those of `fit`, in numbers.

A common cause of a strange validation: pixels that are not divided by 255, a column
in other units, one class only. It shows in means and spreads.
"""

import numpy as np

# Means differ by so much of the larger spread, and by so many standard errors.
OF_SPREAD = 1 / 2
ERRORS_OF_MEANS = 5
# Spreads differ by such a factor, and by so many standard errors, of enough examples.
FACTOR = 2
ERRORS_OF_SPREADS = 6
ENOUGH = 30
# Means that differ by no more than this part of them are the same.
ROUNDING = 1e-6


def differences(of_fit, of_validation):
    """What differs in two lists of batches by more than chance: `x: mean 0.28 in ...`."""
    ours, others = arrays_by_name(of_fit), arrays_by_name(of_validation)
    found = []
    for name in [name for name in ours if name in others]:
        both = moments_of(ours[name], others[name])
        found += [f"{name}{line}" for line in other_mean(*both) or other_spread(*both)]
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
    elif isinstance(part, tuple):
        for i, inner in enumerate(part):
            yield from named_arrays(f"{name}[{i}]", inner)
    elif hasattr(part, "numpy") and hasattr(part, "dtype"):
        array = np.asarray(part)
        if array.dtype.kind in "biuf" and array.size > 0:  # numbers
            yield name, array


def moments_of(ours, others):
    """The means and mean squares of both, arrays of the shape `(examples, features)`.

    Features are the last axis; of sequences of other lengths all is one feature.
    """
    widths = {array.shape[-1] if array.ndim > 1 else 1 for array in [*ours, *others]}
    features = widths.pop() if len(widths) == 1 else 1
    both = []
    for arrays in (ours, others):
        rows = (x.reshape(len(x), -1, features).astype("float64") for x in arrays)
        moments = [(x.mean(axis=1), (x**2).mean(axis=1)) for x in rows]
        both.append([np.concatenate(of_all) for of_all in zip(*moments)])
    return both


def other_mean(ours, others):
    """The feature whose means differ the most, if by more than chance."""
    (means, squares), (other_means, other_squares) = ours, others
    a, b = means.mean(axis=0), other_means.mean(axis=0)
    variances = squares.mean(axis=0) - a**2, other_squares.mean(axis=0) - b**2
    spread = np.sqrt(np.maximum(0, np.maximum(*variances)))
    # A few examples may be alike by luck, which the others know better.
    of_examples = np.maximum(means.std(axis=0), other_means.std(axis=0))
    error = of_examples * np.sqrt(1 / len(means) + 1 / len(other_means))
    distance, rounding = np.abs(a - b), ROUNDING * np.maximum(np.abs(a), np.abs(b))
    differs = distance > np.maximum(OF_SPREAD * spread, rounding)
    differs &= distance > ERRORS_OF_MEANS * error
    if not differs.any():
        return []
    by = distance / np.maximum(spread, rounding + ROUNDING)
    most = np.argmax(np.where(differs, by, 0))
    feature = f"[..., {most}]" if len(a) > 1 else ""
    return [f"{feature}: mean {a[most]:.3g} in `fit`, {b[most]:.3g} in the validation"]


def other_spread(ours, others):
    """The spread of the whole, if it differs by more than chance."""
    spreads, relative_errors = [], []
    n = min(len(means) for means, _ in (ours, others))
    for means, squares in (ours, others):
        mean = means.mean()
        variances = (squares - 2 * mean * means + mean**2).mean(axis=1)  # of examples
        spreads.append(np.sqrt(variances.mean()))
        # That of a square root is half of that of the variance.
        relative_errors.append(variances.std() / max(variances.mean(), ROUNDING) / 2)
    smaller, larger = sorted(spreads)
    error = relative_errors[np.argmax(spreads)] * larger * np.sqrt(2 / n)
    is_chance = larger - smaller <= ERRORS_OF_SPREADS * error
    if n < ENOUGH or larger <= FACTOR * smaller or is_chance:
        return []
    return [f": spread {spreads[0]:.3g} in `fit`, {spreads[1]:.3g} in the validation"]
