"""The parts of a gap: the one list of them, and their numbers from a history.

A history is what `model.fit` returns with the callback `LossGap`, or its `.history`.
"""

from collections import namedtuple
from itertools import pairwise

import numpy as np

# The heading in the table ("/" begins its second line), the tutorial's number of the
# reason, the color (Paul Tol's, for the color blind, too), why the training does worse
# than the validation, and why better. The last row is both before it in one.
Part = namedtuple("Part", "heading reason color worse better")
# fmt: off
PARTS = {
    "timing": Part("/timing", 2, "#332288",
        "measured earlier, when the network was worse",
        "measured earlier, when the network was better on them"),
    "augmentation_and_weights": Part("augment./weights", None, "#42150A",
        "as `fit` augments or weights them, the data do worse",
        "as `fit` augments or weights them, the data do better"),
    "regularization": Part("regular-/ization", 1, "#DDCC77",
        "training mode (dropout, noise, ...) makes it worse",
        "training mode (dropout, noise, ...) makes it better"),
    "batch_normalization": Part("batch/norm.", None, "#88CCEE",
        "each batch's own statistics do worse than moving averages",
        "each batch's own statistics do better than moving averages"),
    "memorization": Part("memori-/zation", None, "#AA4499",
        "held-out data easier, or prepared or weighted otherwise",
        "seen before, or held-out data harder, prepared or weighted otherwise"),
    "data": Part("/data", 3, "#117733",
        "validation easier, copied, prepared or weighted otherwise",
        "validation harder, or prepared or weighted otherwise"),
    "memorization_and_data": Part("memoriz./and data", None, "#AA4499",
        "validation easier (reason 3), or prepared or weighted otherwise",
        "seen before, or validation harder, prepared or weighted otherwise"),
}
# fmt: on


def parts_by_measurement(measured):
    """The part that each measurement begins: its difference to the next one.

    In the order of measurement, from `""`, what `fit` reports of the epoch itself. The
    last part ends with what it reports of the validation.
    """
    parts = {"": "timing"}
    if "fit_data" in measured:
        parts["fit_data"] = "augmentation_and_weights"
    parts["training_mode"] = "regularization"
    if "batch_statistics" in measured:
        parts["batch_statistics"] = "batch_normalization"
    if "held_out" in measured:
        return parts | {"inference_mode": "memorization", "held_out": "data"}
    return parts | {"inference_mode": "memorization_and_data"}


def key(measurement, metric):
    """The name in a history, `training_mode_loss`, or `loss` of the epoch itself."""
    return f"{measurement}_{metric}" if measurement else metric


def error_key(name, metric):
    """The name of a standard error in a history: `timing_error`, of the loss."""
    return f"{name}_error" if metric == "loss" else f"{metric}_{name}_error"


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
    parts = parts_by_measurement(values).values()
    return {part: a - b for part, (a, b) in zip(parts, pairwise(values.values()))}


def measurements(history, metric="loss") -> dict[str, np.ndarray]:
    """The value of each measurement in each epoch: `""`, `training_mode`, ..., `val`."""
    history = getattr(history, "history", history)
    optional = ["fit_data", "batch_statistics", "held_out"]
    measured = [name for name in optional if key(name, metric) in history]
    names = [*parts_by_measurement(measured), "val"]
    values = {name: history.get(key(name, metric), []) for name in names}
    if any(np.ndim(value) for value in values[""]):
        raise ValueError(f"{metric} is not one number for each epoch: it has no gap")
    epochs = max(map(len, values.values()))
    missing = [key(x, metric) for x in names if not len(values[x]) == epochs > 0]
    if missing:
        prefix = "training_mode_"
        others = [x.removeprefix(prefix) for x in history if x.startswith(prefix)]
        is_another = others and metric not in others
        advice = "name one of these, or give" if is_another else "give"
        raise ValueError(
            f"the gap of {metric} was not measured in each epoch (missing: "
            f"{', '.join(missing)}; measured: {', '.join(others) or 'none'}): {advice} "
            "`fit` validation data, validation_freq=1 and LossGap as its first callback"
        )
    values = {name: np.array(values[name], float) for name in names}
    return {name: np.where(np.isfinite(x), x, np.nan) for name, x in values.items()}


def standard_errors(history, metric="loss") -> dict[str, np.ndarray]:
    """The standard errors of the parts, by the names of `PARTS`; `nan` if unknown.

    `memorization_and_data` is always there: of training and validation measured alike.
    `validation` is that of the validation's own mean.
    """
    parts = split_gap(history, metric)
    history = getattr(history, "history", history)
    unknown = np.full(len(parts["timing"]), np.nan)
    errors = {}
    for name in [*parts, "memorization_and_data", "validation"]:
        error = np.array(history.get(error_key(name, metric), []), float)
        errors[name] = error if len(error) == len(unknown) else unknown
    return errors


def may_be_chance(part, error):
    """Whether a part is within two standard errors of zero, or these are unknown."""
    return ~(np.abs(part) > 2 * error)


def count_copies(x_train, x_val) -> int:
    """Count the examples of `x_val` that are in `x_train`, byte for byte: of one dtype."""
    if (x_train.dtype, x_train.shape[1:]) != (x_val.dtype, x_val.shape[1:]):
        raise ValueError("copies cannot be counted: dtypes or shapes differ")
    known = {example.tobytes() for example in x_train}
    return sum(example.tobytes() in known for example in x_val)
