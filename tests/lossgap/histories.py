"""Histories whose values or gaps are certain ones, for what reads them."""

import numpy as np

from pyimagesearch.lossgap.parts import error_key, key, parts_by_measurement


def course(metric="loss", sign=1, error=0.01, errors=None, share=1.0, **values):
    """A history of what was measured (`reported` by `fit`, ...), times `sign`.

    By default there is no dropout, and the network gets better in the first epoch. Each
    standard error is `error`, but for those in `errors`.
    """
    own_statistics = values.get("batch_statistics", values["inference_mode"])
    after = values.setdefault("training_mode", own_statistics)
    epochs = len(after)
    values[""] = values.pop("reported", after + np.eye(epochs)[0] / 2)
    series = {key(name, metric): sign * np.array(values[name]) for name in values}
    for name in values:  # of another metric's history, the loss falls
        series.setdefault(key(name, "loss"), 1 / np.arange(1.0, epochs + 1))
    parts = list(parts_by_measurement(values).values())
    for name in [*parts, "memorization_and_data", "validation"]:
        of_part = (errors or {}).get(name, error)
        series[error_key(name, metric)] = np.full(epochs, 1.0) * of_part
    return series | {"measured_share": [share] * epochs}


def history(metric="loss", error=0.001, errors=None, val=1.0, **parts):
    """A history whose gap has these parts, and else zeros."""
    every = parts_by_measurement(["fit_data", "batch_statistics", "held_out"])
    names = parts_by_measurement([name for name in every if every[name] in parts])
    total = np.full(len(next(iter(parts.values()))), val)
    values = {"val": total}
    for name, part in reversed(names.items()):
        values[name or "reported"] = total = total + np.array(parts.get(part, 0.0))
    return course(metric, error=error, errors=errors, **values)


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
