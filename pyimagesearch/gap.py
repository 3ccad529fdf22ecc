"""The gap of a metric, split into its reasons: as numbers, as a table and in words.

A history is what `model.fit` returns with the callback `LossGap`, or its `.history`.
"""

from collections import namedtuple
from itertools import pairwise

import numpy as np

# A part is the difference of the measurement that it begins with to the next one; then
# its heading, the tutorial's number of the reason, its color (Paul Tol's, for the color
# blind, too), why the training is worse, or better. The last row is the two before it.
Part = namedtuple("Part", "begins heading reason color worse better")
# fmt: off
PARTS = {
    "timing": Part("", "/timing", 2, "#332288",
        "measured earlier in the epoch, when it was worse",
        "measured earlier in the epoch, when it was better"),
    "augmentation_and_weights": Part("fit_data_", "augment./weights", None, "#42150A",
        "prepared or weighted as for `fit`, data do worse",
        "prepared or weighted as for `fit`, data do better"),
    "regularization": Part("training_mode_", "regular-/ization", 1, "#DDCC77",
        "training mode (dropout, noise, ...) makes it worse",
        "training mode (dropout, noise, ...) makes it better"),
    "batch_normalization": Part("batch_statistics_", "batch/norm.", None, "#88CCEE",
        "a batch's statistics do worse than moving averages",
        "a batch's statistics do better than moving averages"),
    "memorization": Part("inference_mode_", "memori-/zation", None, "#AA4499",
        "held-out data are easier, by nature or preparation",
        "training data are known, or held-out data are harder"),
    "data": Part("held_out_", "/data", 3, "#117733",
        "validation is easier: its data, copies, preparation",
        "validation is harder: its data, or their preparation"),
    "memorization_and_data": Part("inference_mode_", "memoriz./and data", 3, "#AA4499",
        "validation is easier: its data, copies, preparation",
        "the training data are known, or validation is harder"),
}
# fmt: on
OPTIONAL = ["fit_data_", "batch_statistics_", "held_out_"]
# Of most metrics whose names contain one of these (and not "loss") more is better.
HIGHER = ["acc", "auc", "AUC", "precision", "recall", "f1", "F1", "iou", "io_u", "IoU"]
HIGHER += ["score", "r2", "sensitivity", "specificity", "similarity", "corr", "kappa"]
DOUBT = """Timing is in doubt: with nearly the same weights, the data of `fit` have a {}
of {:.4f} where those of LossGap have {:.4f}. They may be augmented, weighted, in other batches, in
one order in all epochs (sorted, or arrays with a seed), or the rows that validation_split leaves."""
LAGGING = """Batch normalization makes inference mode, and so the validation, much worse. Most often
its moving averages lag: more updates help, a smaller momentum, or computing the statistics anew."""


def split_gap(history, metric="loss") -> dict[str, np.ndarray]:
    """Split the gap `metric - val_metric` of each epoch into its reasons.

    Returns:
        By name, what was measured of `PARTS`: arrays of the shape `(epochs,)`, in the
        unit of the metric, whose sum is the gap; `nan` where a value is not finite.

    Raises:
        ValueError: if the gap was not measured, or not in every epoch.

    Source: timing, regularization and data are the three reasons of
    https://pyimagesearch.com/2019/10/14/why-is-my-validation-loss-lower-than-my-training-loss/
    """
    values = measurements(history, metric)
    other = (
        "memorization_and_data" if f"held_out_{metric}" in values else "memorization"
    )
    names = {PARTS[name].begins + metric: name for name in PARTS if name != other}
    return {names[a]: values[a] - values[b] for a, b in pairwise(values)}


def measurements(history, metric):
    """The values of each measurement, in the order of the parts that they begin."""
    history = getattr(history, "history", history)
    begins = {part.begins: part.begins + metric for part in PARTS.values()}
    names = [name for x, name in begins.items() if name in history or x not in OPTIONAL]
    values = {x: np.array(history.get(x, []), float) for x in [*names, f"val_{metric}"]}
    epochs = max(map(len, values.values()))
    missing = [name for name in values if not len(values[name]) == epochs > 0]
    if missing:
        measured = [x.split("mode_")[1] for x in history if "training_mode_" in x]
        raise ValueError(
            f"the gap of {metric} was not measured in each epoch (missing: "
            f"{', '.join(missing)}; measured: {', '.join(measured) or 'none'}): give "
            "`fit` validation data, validation_freq=1 and, from the start, LossGap"
        )
    return {name: np.where(np.isfinite(x), x, np.nan) for name, x in values.items()}


def standard_errors(history, metric="loss") -> dict[str, np.ndarray]:
    """The standard errors that were measured, of parts and first batches; or `nan`."""
    epochs = len(measurements(history, metric)[metric])
    history = getattr(history, "history", history)
    names, prefix = [*PARTS, "first_batches"], "" if metric == "loss" else f"{metric}_"
    errors = {x: np.array(history.get(f"{prefix}{x}_error", []), float) for x in names}
    return {x: error for x, error in errors.items() if len(error) == epochs}


def may_be_chance(part, error):
    """Whether a part is within two standard errors of zero, or these are unknown."""
    return ~(np.abs(part) > 2 * error)


def table(history, metric="loss") -> str:
    """The metric, its gap and the parts: each epoch's, the last one's errors, means."""
    parts, errors = split_gap(history, metric), standard_errors(history, metric)
    values = measurements(history, metric)
    columns = {name: values[name] for name in (metric, f"val_{metric}")}
    columns |= {"gap": sum(parts.values()), **parts}
    heads = [PARTS[x].heading if x in PARTS else f"/{x}" for x in ["epoch", *columns]]
    rows = [*zip(*(heading.split("/") for heading in heads))]
    for epoch, numbers in enumerate(zip(*columns.values()), start=1):
        rows.append([f"{epoch}", *(f"{number:.4f}" for number in numbers)])
    last = [f"{errors[x][-1]:.4f}" if x in errors else "" for x in columns]
    rows += [["+-", *last]] if errors else []
    rows.append(["mean", *(f"{numbers.mean():.4f}" for numbers in columns.values())])
    widths = [max(9, *(len(cell) + 1 for cell in column)) for column in zip(*rows)]
    return "\n".join("".join(map(str.rjust, row, [5, *widths[1:]])) for row in rows)


def in_words(history, metric="loss", higher_is_better=None) -> str:
    """What the gaps of the first and the last epoch consist of, and why.

    `higher_is_better` is for metrics whose name does not say it, as those in `HIGHER`.
    """
    parts, errors = split_gap(history, metric), standard_errors(history, metric)
    total, values = sum(parts.values()), measurements(history, metric)
    epochs = np.flatnonzero(np.isfinite(total))
    if len(epochs) == 0:
        return f"In no epoch is each {metric} a finite number: the gap cannot be split."
    if higher_is_better is None:
        higher_is_better = "loss" not in metric and any(x in metric for x in HIGHER)
    better = "higher" if higher_is_better else "lower"
    sense = "" if metric == "loss" else f" ({better} is better)"
    doubt, lines = doubt_about_timing(history, metric, higher_is_better), []
    none, last = np.zeros(len(total)), epochs[-1]
    for epoch in sorted({epochs[0], last}):
        size = f"{abs(total[epoch]):.4f} {'above' if total[epoch] > 0 else 'below'}"
        size = size if abs(total[epoch]) >= 5e-5 else "to four decimals equal to"
        both = f"the training {metric} is {size} the validation {metric}{sense}"
        lines.append(f"In epoch {epoch + 1} {both}:")
        # What makes the gap comes first, the largest on top.
        sizes = {name: parts[name][epoch] * np.sign(total[epoch]) for name in parts}
        for name in sorted(parts, key=lambda x: (sizes[x] <= 0, -abs(sizes[x]))):
            part, error = parts[name][epoch], errors.get(name, none)[epoch]
            worse = (part > 0) != higher_is_better
            why = PARTS[name].worse if worse else PARTS[name].better
            if abs(part) < 5e-5:
                why = ""
            elif np.isnan(error):
                why = "of unknown error: too few batches, or no mean (AUC)"
            elif may_be_chance(part, error):
                why = "may be chance: more measured data would tell"
            elif name == "timing" and doubt:
                why = "in doubt: see below"
            known = f" +- {error:<6.4f}" if name in errors else ""
            label = f"{name.replace('_', ' '):{max(map(len, parts))}}"
            lines.append(f"  {label}  {part:+.4f}{known}  {why}".rstrip())
    lines += [doubt] if doubt else []
    lag, error = (x.get("batch_normalization", none)[last] for x in (parts, errors))
    large = abs(lag) > abs(values[f"val_{metric}"][last]) / 10
    if (lag > 0) == higher_is_better and large and not may_be_chance(lag, error):
        lines.append(LAGGING)
    if len(epochs) < len(total):
        lines.append("Epochs in which a value is no finite number are left out.")
    return "\n".join(lines)


def doubt_about_timing(history, metric, higher_is_better):
    """Say that `fit` has other data than LossGap, where its first batches show it.

    An epoch's first eighth has nearly the weights measured after the epoch before: the
    same mean, but for three errors, and for what gets better within the epochs.
    """
    values, errors = measurements(history, metric), standard_errors(history, metric)
    first = getattr(history, "history", history).get(f"first_batches_{metric}", [])
    measured = values.get(f"fit_data_{metric}", values[f"training_mode_{metric}"])
    if "first_batches" not in errors or len(first) != len(measured):
        return ""
    change = measured[-1] - measured[0]
    better = change if (change > 0) == higher_is_better else 0
    rows = np.array([first[1:], errors["first_batches"][1:], measured[:-1]], float)
    first, error, measured = rows[:, np.isfinite(rows).all(axis=0)]
    limit, difference = 3 * np.sqrt(np.sum(error**2)), np.sum(first - measured)
    if min(0, better) - limit <= difference <= max(0, better) + limit:
        return ""
    return DOUBT.format(metric, first.mean(), measured.mean())


def count_copies(x_train, x_val) -> int:
    """Count the examples of `x_val` that are in `x_train`, too: arrays of one dtype."""
    if (x_train.dtype, x_train.shape[1:]) != (x_val.dtype, x_val.shape[1:]):
        raise ValueError("copies cannot be counted: dtypes or shapes differ")
    known = {example.tobytes() for example in x_train}
    return sum(example.tobytes() in known for example in x_val)
