"""The gap of a metric as a table, and its reasons in words."""

import numpy as np

from .gap import Gap
from .parts import PARTS, is_probable, may_be_chance
from .verdict import doubt_about_timing, verdict

# Smaller than this, a number is printed as 0.0000.
ZERO = 5e-5
ERRORS = """+- is one standard error: what is within two of zero may be chance, within three is called probable.
To tell, measure more batches (`steps`; fashion_mnist.py --explain 60000), or validate on more data."""
UNKNOWN_KIND = "no error is known for a metric like this"


def table(history, metric="loss") -> str:
    """The metric, its gap and the parts: each epoch's, the last one's errors, means."""
    gap = Gap(history, metric)
    columns = {metric: gap.values[""], f"val_{metric}": gap.values["val"]}
    columns |= {"gap": gap.total, **gap.parts}
    names = ["epoch", *columns]
    headings = [PARTS[x].heading if x in PARTS else f"/{x}" for x in names]
    rows = [*zip(*(heading.split("/", 1) for heading in headings))]
    for epoch, numbers in zip(gap.epochs, zip(*columns.values())):
        rows.append([f"{epoch}", *(f"{number:.4f}" for number in numbers)])
    if gap.errors:
        errors = [
            f"{gap.errors[x][-1]:.4f}" if x in gap.errors else "" for x in columns
        ]
        rows.append([f"{gap.epochs[-1]} +-", *errors])
    rows.append(["mean", *(f"{numbers.mean():.4f}" for numbers in columns.values())])
    widths = [max(9, *(len(cell) + 1 for cell in column)) for column in zip(*rows)]
    widths[0] = 6
    return "\n".join("".join(map(str.rjust, row, widths)) for row in rows)


def in_words(history, metric="loss", higher_is_better=None) -> str:
    """What the gaps of the first and the last epoch consist of, why, and what to do.

    `higher_is_better` is for a metric of which neither the name nor the way in which it
    changes with the loss says it.
    """
    gap = Gap(history, metric, higher_is_better)
    if len(gap.finite) == 0:
        return f"In no epoch is each {metric} a finite number: the gap cannot be split."
    doubt = doubt_about_timing(gap)
    lines = []
    for epoch in sorted({gap.finite[0], gap.finite[-1]}):
        lines += lines_of_epoch(gap, epoch, doubt)
    if gap.errors:
        lines.append(ERRORS)
    lines += verdict(gap, doubt)
    if len(gap.finite) < len(gap.total):
        lines.append("Epochs in which a value is no finite number are left out.")
    return "\n".join(lines)


def lines_of_epoch(gap, epoch, doubt):
    """The gap of an epoch and its parts: what makes it, then what is against it."""
    total = gap.total[epoch]
    size = f"{abs(total):.4f} {'above' if total > 0 else 'below'}"
    if abs(total) < ZERO:
        size = "to four decimals equal to"
    better = "higher" if gap.higher_is_better else "lower"
    sense = "" if gap.metric == "loss" else f" ({better} is better)"
    both = f"the training {gap.metric} is {size} the validation {gap.metric}{sense}"
    lines = [f"In epoch {gap.epochs[epoch]} {both}:"]
    towards = {name: part[epoch] * np.sign(total) for name, part in gap.parts.items()}
    largest_first = sorted(towards, key=lambda name: -abs(towards[name]))
    makes_it = [name for name in largest_first if towards[name] > 0]
    against_it = [name for name in largest_first if towards[name] <= 0]
    lines += [line_of_part(gap, name, epoch, doubt) for name in makes_it]
    if makes_it and against_it:
        lines.append("  against it:")
    return lines + [line_of_part(gap, name, epoch, doubt) for name in against_it]


def line_of_part(gap, name, epoch, doubt):
    label = name.replace("_", " ").ljust(max(map(len, gap.parts)))
    error = f" +- {gap.errors[name][epoch]:<6.4f}" if name in gap.errors else ""
    why = reason(gap, name, epoch, doubt)
    return f"  {label}  {gap.parts[name][epoch]:+.4f}{error}  {why}".rstrip()


def reason(gap, name, epoch, doubt):
    """Why a part is what it is, as surely as its error allows."""
    part = gap.parts[name][epoch]
    if abs(part) < ZERO:
        return ""
    training_is_worse = gap.is_worse(part)
    why = PARTS[name].worse if training_is_worse else PARTS[name].better
    if training_is_worse and PARTS[name].reason:
        why += f" (reason {PARTS[name].reason})"
    if name not in gap.errors:
        return why
    error = gap.errors[name][epoch]
    if np.isnan(error):
        return why_unknown(gap, name, epoch)
    if may_be_chance(part, error):
        return "may be chance"
    if name == "timing" and doubt:
        return "in doubt: see below"
    return f"probably {why}" if is_probable(part, error) else why


def why_unknown(gap, name, epoch):
    """Why the error of a part is unknown, as far as a history tells."""
    if "validation" not in gap.errors:
        # LossGap has one for each metric whose batches have errors at all.
        return UNKNOWN_KIND if gap.loss_has_errors else "its error is unknown"
    others = [gap.errors[x][epoch] for x in [*gap.parts, "validation"] if x != name]
    if name == list(gap.parts)[-1] and np.isfinite(others).all():
        return "depends on the batch, and the validation's are of another size"
    if name == list(gap.parts)[-1] and np.isfinite(others[:-1]).all():
        return "its error is unknown: of the validation too few batches are known"
    return "its error is unknown: too few batches"
