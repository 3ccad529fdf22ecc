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


def count_copies(x_train, x_val) -> int:
    """Count the examples of `x_val` that are in `x_train`, too: arrays of one dtype."""
    if (x_train.dtype, x_train.shape[1:]) != (x_val.dtype, x_val.shape[1:]):
        raise ValueError("copies cannot be counted: dtypes or shapes differ")
    known = {example.tobytes() for example in x_train}
    return sum(example.tobytes() in known for example in x_val)
