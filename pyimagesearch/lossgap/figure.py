"""The gap of a metric as a figure."""

import numpy as np

from .parts import PARTS, may_be_chance


def draw_gap(axes, epochs, parts, errors):
    """Stack the parts of each epoch's gap, positive ones upwards, others downwards."""
    top = bottom = np.zeros(len(epochs))
    for name, part in parts.items():
        color, reason = PARTS[name].color, PARTS[name].reason
        label = name.replace("_", " ") + (f" (reason {reason})" if reason else "")
        chance = may_be_chance(part, errors[name]) if name in errors else False
        part = np.nan_to_num(part)
        start = np.where(part > 0, top, bottom)
        axes.bar(epochs, part, 0.9, start, color=color, ec="white", label=label)
        hatched = np.where(chance, part, 0)
        axes.bar(epochs, hatched, 0.9, start, color=color, ec="white", hatch="////")
        top, bottom = top + np.maximum(part, 0), bottom + np.minimum(part, 0)
    axes.axhline(0, color="black", linewidth=1)
    total, label = sum(parts.values()), "gap (sum of the parts)"
    axes.plot(epochs, total, color="white", linewidth=4)  # an outline on dark bars
    axes.plot(epochs, total, "o-", color="black", markeredgecolor="white", label=label)
    axes.set(title="Where the Gap Comes From", xlabel="Epoch #")
    axes.legend(title="hatched: may be chance" if errors else None)
