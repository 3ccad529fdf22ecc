"""Histories whose gap has certain parts, for what reads them."""

import numpy as np

from pyimagesearch.lossgap.parts import error_key, key, parts_by_measurement

OPTIONAL = {
    "fit_data": "augmentation_and_weights",
    "batch_statistics": "batch_normalization",
    "held_out": "data",
}


def history(errors=None, val=1, metric="loss", **parts):
    """A history whose gap has these parts, and else zeros, with these errors.

    With errors, parts of which none is named have a small one.
    """
    epochs = len(next(iter(parts.values())))
    values = np.full(epochs, 1.0) * val
    series = {f"val_{metric}": values}
    measured = [name for name, part in OPTIONAL.items() if part in parts]
    names = parts_by_measurement(measured)
    for name, part in reversed(names.items()):
        values = values + np.array(parts.get(part, np.zeros(epochs)))
        series[key(name, metric)] = values
        series.setdefault(key(name, "loss"), np.ones(epochs))
    series.setdefault("val_loss", np.ones(epochs))
    if errors:
        errors = dict.fromkeys(names.values(), [0.001] * epochs) | errors
    return series | {error_key(x, metric): errors[x] for x in errors or {}}


THREE = {
    "loss": [0.5, 0.25],
    "val_loss": [0.4, 0.3],
    "training_mode_loss": [0.35, 0.26],
    "inference_mode_loss": [0.3, 0.2],
}
SIX = THREE | {
    "batch_statistics_loss": [0.32, 0.21],
    "held_out_loss": [0.34, 0.33],
    "fit_data_loss": [0.45, 0.27],
}
