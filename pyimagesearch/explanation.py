"""The parts of the gap as a table, and what they mean in words."""

import numpy as np

from pyimagesearch.history import REPORTED


# Of a training that diverged some sums are those of infinities of both signs.
@np.errstate(invalid="ignore")
def table(history: dict, parts: dict) -> str:
    """The losses and the parts; epochs count from 1, as in Keras' own output."""
    losses = {name: history[name] for name in REPORTED}
    columns = {**losses, "gap": sum(parts.values()), **parts}
    widths = [max(len(name), 8) for name in columns]
    rows = np.column_stack(list(columns.values()))
    lines = [["epoch", *(f"{name:>{width}}" for name, width in zip(columns, widths))]]
    for epoch, row in [*enumerate(rows, start=1), ("mean", rows.mean(axis=0))]:
        cells = (f"{value:{width}.4f}" for value, width in zip(row, widths))
        lines.append([f"{epoch:>5}", *cells])
    return "\n".join("  ".join(line) for line in lines)


@np.errstate(invalid="ignore")
def in_words(parts: dict) -> str:
    """What the parts of each epoch's gap mean, in up to three sentences."""
    gap = sum(parts.values())
    epochs = np.flatnonzero(np.isfinite(gap))
    if len(epochs) == 0:
        return "No epoch has a gap that is a number: the training diverged."
    first, last = epochs[[0, -1]]
    sentences = [largest(parts, epoch) for epoch in sorted({first, last})]

    signed = epochs[gap[epochs] != 0]
    changes = np.flatnonzero(np.diff(np.sign(gap[signed])))
    if len(changes) > 0:
        before, after = signed[changes[-1] : changes[-1] + 2]
        times = f" {len(changes)} times, the last time" if len(changes) > 1 else ""
        sentences.append(
            f"The gap changes its sign{times} between epochs {before + 1} and "
            f"{after + 1}: in epoch {after + 1}, {outweighs(parts, after)}."
        )
    elif len(epochs) > 1:
        sentences.append("The gap does not change its sign.")
    return "\n".join(sentences)


def largest(parts, epoch):
    gap = sum(part[epoch] for part in parts.values())
    name = max(parts, key=lambda name: abs(parts[name][epoch]))
    side = "above" if gap > 0 else "below"
    place = f"{abs(gap):.4f} {side}" if gap != 0 else "equal to"
    return (
        f"In epoch {epoch + 1} the training loss is {place} the validation loss, and "
        f"the largest part of the gap is {with_value(parts, name, epoch)}."
    )


def outweighs(parts, epoch):
    """Say which parts have the sign of the gap, and which have the other."""
    sign = np.sign(sum(part[epoch] for part in parts.values()))
    heavy = [name for name in parts if parts[name][epoch] * sign > 0]
    light = [name for name in parts if parts[name][epoch] * sign < 0]
    heavy, light = (
        " and ".join(with_value(parts, name, epoch) for name in names)
        for names in (heavy, light)
    )
    verb = "outweigh" if " and " in heavy else "outweighs"
    return f"{heavy} {verb} {light}" if light else f"there is only {heavy}"


def with_value(parts, name, epoch):
    return f"{name} ({parts[name][epoch]:+.4f})"
