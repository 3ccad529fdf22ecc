"""Measure why the validation loss differs from the training loss.

Copy this folder into your project: it needs Keras on TensorFlow, NumPy, matplotlib, and
nothing else. From the callback down:

    callback    LossGap: what happens at each of `fit`'s calls, and in which order
    watch       the batches of `fit` as they go by; `stack` finds the running `fit`
    unlike      where the validation's data are unlike those of `fit`
    data        samples of the batches that go by, or were given
    passes      measures these in the `modes` of the model, and puts the model back
    metrics     what each batch does to the metrics; `batch_size`: what depends on it
    epoch       what an epoch leaves in the history, with the `errors`

    parts       the one list of the parts, and their numbers from a history
    reading     what of it is clear; `direction`: whether more of a metric is better
    words       table, in_words, with the `verdict`: what to look at
    figure      draw_gap
"""

from importlib import import_module

from .parts import count_copies, split_gap, standard_errors
from .words import in_words, table

# Imported when they are asked for, so that a plot does not wait for TensorFlow, and a
# training not for matplotlib.
LATER = {"LossGap": "callback", "draw_gap": "figure"}

__all__ = ["LossGap", "count_copies", "draw_gap", "in_words", "split_gap"]
__all__ += ["standard_errors", "table"]


def __getattr__(name):
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{LATER[name]}", __name__), name)
