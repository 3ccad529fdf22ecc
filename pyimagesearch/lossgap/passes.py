"""The passes that measure a model: each is an `evaluate`, in a mode, of a sample."""

from collections import namedtuple

import numpy as np

from .metrics import Recorder
from .modes import BatchNormalizationModes, OtherMode, unchanged
from .stack import warn

# What is measured: under this name, `evaluate` of this model, of the sample of that name.
Pass = namedtuple("Pass", "name model sample")


def passes_of(model, samples):
    """All passes, in the order in which they must run; `model` is built.

    Training mode comes before the statistics of each batch: it notes in which mode each
    batch normalization layer is, which may be frozen, and the latter repeats that.
    """
    normalization = BatchNormalizationModes(model)
    training = OtherMode(model, normalization, training=True)
    passes = []
    if "fit_data" in samples:
        passes.append(Pass("fit_data", training, "fit_data"))
    passes.append(Pass("training_mode", training, "x"))
    if normalization.layers:
        statistics = OtherMode(model, normalization, training=False)
        passes.append(Pass("batch_statistics", statistics, "x"))
    passes.append(Pass("inference_mode", model, "x"))
    if "held_out" in samples:
        passes.append(Pass("held_out", model, "held_out"))
    if "validation" in samples:
        passes.append(Pass("validation", model, "validation"))
    return passes


def measure(model, passes, samples, **steps):
    """Run the passes; return by name what each batch did to the metrics of `model`.

    Args:
        samples: by name, arguments for `evaluate`.
        steps: the number of batches, if it is not the samples' own.

    Raises:
        ValueError: if there is no loss.
    """
    measured = {}
    for name, in_mode, sample in passes:
        measured[name] = recorder = Recorder(model)
        arguments = {**samples[sample], **steps, "callbacks": [recorder], "verbose": 0}
        with unchanged(model):
            model.reset_metrics()
            in_mode.evaluate(**arguments)
        if not recorder.logs or "loss" not in recorder.logs[-1]:
            raise ValueError("LossGap: no loss: empty data, or an own test_step")
    return measured


def warn_of_other_batches(first_try, second_try):
    """Say so where the same pass had another loss, in inference mode, the second time."""
    tries = first_try["inference_mode"], second_try["inference_mode"]
    losses = [recorder.logs[-1]["loss"] for recorder in tries]
    if not np.isclose(*losses, rtol=1e-4, equal_nan=True):
        warn(
            "x gives other batches in each pass, which makes the parts wrong, and disturbs "
            "`fit` if x is its own: give arrays, or an unshuffled data set"
        )
