"""The gap of a metric as a figure: stacked from its parts, in each epoch."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .parts import PARTS, may_be_chance
from .reading import Gap


def draw_gap(history, metric="loss", axes=None, higher_is_better=None):
    """Stack the parts of each epoch's gap, positive ones upwards, others downwards.

    Args:
        history: what `fit` returns with the callback `LossGap`, or its `.history`.
        metric: the name of what is drawn, in its own unit.
        axes: those of matplotlib to draw into, and to return; new ones if None.
        higher_is_better: for a metric whose name does not say it.

    Raises:
        ValueError: if the gap was not measured, or not in every epoch.
    """
    gap = Gap(history, metric, higher_is_better)
    if axes is None:
        _, axes = plt.subplots(figsize=(8, 5))
    top, bottom = np.zeros((2, len(gap.epochs)))
    for name, part in gap.parts.items():
        part = np.nan_to_num(part)
        start = np.where(part > 0, top, bottom)
        label = name.replace("_", " ")
        if PARTS[name].reason:
            label += f" (reason {PARTS[name].reason})"
        bars = {"color": PARTS[name].color, "edgecolor": "white", "width": 0.9}
        axes.bar(gap.epochs, part, bottom=start, label=label, **bars)
        chance = may_be_chance(gap.parts[name], gap.errors[name]) & (part != 0)
        epochs, part_by_chance = gap.epochs[chance], part[chance]
        axes.bar(epochs, part_by_chance, bottom=start[chance], hatch="////", **bars)
        top += np.maximum(part, 0)
        bottom += np.minimum(part, 0)
    axes.axhline(0, color="black", linewidth=0.5)
    # Small, so that it hides no small part.
    points = {"markersize": 4, "linewidth": 0.8, "markeredgecolor": "white"}
    points |= {"color": "black", "label": "gap (sum of the parts)"}
    axes.plot(gap.epochs, gap.total, "o-", **points)
    side = "below" if gap.higher_is_better else "above"
    title = f"Where the Gap Comes From\n({side} 0 the validation does better)"
    axes.set(title=title, xlabel="Epoch #", ylabel=f"train_{metric} - val_{metric}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    hatched = "hatched: may be chance"
    if np.isnan([gap.errors[name] for name in gap.parts]).any():
        hatched += ", or is of unknown error"
    axes.legend(title=hatched)
    return axes
