"""The gap of a metric as a table, and in words: what it is made of, and what to look at."""

import numpy as np

from .parts import PARTS, key, may_be_chance
from .reading import Gap
from .verdict import ZERO, probably, verdict

ERRORS = "+- is one standard error: what is within two of zero may be chance, within three is called probable."
MORE = "For smaller errors, measure more batches (`steps`), or validate on more data."
UNKNOWN_ERRORS = "An error is unknown of too few batches, and of metrics or batch sizes that do not give one."
NOT_FINITE = """In epoch {} {} no finite number:
the training diverges (a smaller learning rate helps), or a value is missing or undefined (nan in the
data, a division by 0)."""


def table(history, metric="loss") -> str:
    """The metric, its gap and the parts: each epoch's, the last one's errors, means."""
    gap = Gap(history, metric)
    columns = {metric: gap.values[""], f"val_{metric}": gap.values["val"]}
    columns |= {"gap": gap.total, **gap.parts}
    headings = [PARTS[x].heading if x in PARTS else f"/{x}" for x in columns]
    rows = [*zip(*(heading.split("/", 1) for heading in ["/epoch", *headings]))]
    for epoch, numbers in zip(gap.epochs, zip(*columns.values())):
        rows.append([f"{epoch}", *(f"{number:.4f}" for number in numbers)])
    errors = [in_digits(gap.errors[name][-1]) for name in gap.parts]
    rows.append([f"{gap.epochs[-1]} +-", "", "", "", *errors])
    rows.append(["mean", *(f"{numbers.mean():.4f}" for numbers in columns.values())])
    widths = [max(9, *(len(cell) + 1 for cell in column)) for column in zip(*rows)]
    widths[0] = 6
    return "\n".join("".join(map(str.rjust, row, widths)) for row in rows)


def in_digits(error):
    return "?" if np.isnan(error) else f"{error:.4f}"


def in_words(history, metric="loss", higher_is_better=None) -> str:
    """What the gaps of the first and the last epoch consist of, and what to look at.

    `higher_is_better` is for a metric of which neither the name nor the way in which it
    changes with the loss says it.
    """
    gap = Gap(history, metric, higher_is_better)
    finite = np.flatnonzero(np.isfinite(gap.total))
    epochs = sorted({*finite[:1], *finite[-1:]})
    lines = [line for epoch in epochs for line in lines_of_epoch(gap, epoch)]
    if epochs:
        lines.append(ERRORS)
    if np.isnan([gap.errors[name][epochs] for name in gap.parts]).any():
        lines.append(UNKNOWN_ERRORS)
    if epochs and not gap.all_is_measured:
        lines.append(MORE)
    not_finite = what_is_not_finite(gap)
    lines += [not_finite] if not_finite else verdict(gap)
    return "\n".join(lines)


def lines_of_epoch(gap, epoch):
    """The gap of an epoch and its parts: what makes it, then what is against it."""
    total = gap.total[epoch]
    size = f"{abs(total):.4f} {'above' if total > 0 else 'below'}"
    if abs(total) < ZERO:
        size = "to four decimals equal to"
    better = "higher" if gap.higher_is_better else "lower"
    unsure = "" if gap.direction_is_known else ", unless you give `higher_is_better`"
    sense = "" if gap.metric == "loss" else f" ({better} is better{unsure})"
    both = f"the training {gap.metric} is {size} the validation {gap.metric}{sense}"
    lines = [f"In epoch {gap.epochs[epoch]} {both}:"]
    sizes = {name: abs(part[epoch]) for name, part in gap.parts.items()}
    largest_first = sorted(sizes, key=sizes.get, reverse=True)
    parts = [name for name in largest_first if sizes[name] >= ZERO]
    makes_it = [name for name in parts if gap.parts[name][epoch] * total > 0]
    against_it = [name for name in parts if name not in makes_it]
    lines += [line_of_part(gap, name, epoch) for name in makes_it]
    if makes_it and against_it:
        lines.append("  against it:")
    lines += [line_of_part(gap, name, epoch) for name in against_it]
    nothing = [name.replace("_", " ") for name in sizes if name not in parts]
    if nothing:
        lines.append(f"  to four decimals 0: {', '.join(nothing)}")
    return lines


def line_of_part(gap, name, epoch):
    label = name.replace("_", " ").ljust(max(map(len, gap.parts)))
    error = in_digits(gap.errors[name][epoch]).ljust(6)
    why = reason(name, gap.part(name, epoch))
    return f"  {label}  {gap.parts[name][epoch]:+.4f} +- {error}  {why}"


def reason(name, worse):
    """Why a part is what it is, as surely as its error allows."""
    if np.isnan(worse.error):
        return "its error is unknown"
    if may_be_chance(*worse):
        return "may be chance"
    why = PARTS[name].worse if worse.by > 0 else PARTS[name].better
    if worse.by > 0 and PARTS[name].reason:
        why += f" (reason {PARTS[name].reason})"
    return f"{probably(worse)}{why}"


def what_is_not_finite(gap):
    """The first epoch in which a loss, or else the metric, is not finite, if there is."""
    data = {"held_out": "held-out", "val": "validation"}
    for metric in ("loss", gap.metric):
        sides = {key(name, metric): data.get(name, "training") for name in gap.values}
        broken = {x: ~np.isfinite(gap.history[x]) for x in sides if x in gap.history}
        epochs = np.flatnonzero(np.any(list(broken.values()), axis=0))
        if len(epochs) > 0:
            names = [f"the {sides[x]} {metric}" for x in broken if broken[x][epochs[0]]]
            names = list(dict.fromkeys(names))  # each once
            which = " and ".join(names) + (" is" if len(names) == 1 else " are")
            return NOT_FINITE.format(gap.epochs[epochs[0]], which)
    return ""
