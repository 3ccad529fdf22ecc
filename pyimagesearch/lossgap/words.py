"""The gap of a metric as a table and in words."""

import numpy as np

from .parts import PARTS, may_be_chance, measurements, split_gap, standard_errors

# Of most metrics whose names contain one of these (and not "loss") more is better.
HIGHER = ["acc", "auc", "AUC", "precision", "recall", "f1", "F1", "iou", "io_u", "IoU"]
HIGHER += ["score", "r2", "sensitivity", "specificity", "similarity", "corr", "kappa"]
DOUBT = """Timing is in doubt: with nearly the same weights, the data of `fit` have a {}
of {:.4f} where those of LossGap have {:.4f}. They may be augmented, weighted, in other batches, in
one order in all epochs (sorted, or arrays with a seed), or the rows that validation_split leaves."""
LAGGING = """Batch normalization makes inference mode, and so the validation, much worse. Most often
its moving averages lag: more updates help, a smaller momentum, or computing the statistics anew."""


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
