"""Measure why the validation loss differs from the training loss.

Copy this folder into your project: it needs Keras on TensorFlow, NumPy, matplotlib, and
nothing else.
"""

from importlib import import_module

from .parts import count_copies, split_gap, standard_errors
from .words import in_words, table

# Imported when they are asked for, so that a plot does not wait for TensorFlow, and a
# training not for matplotlib.
LATER = {"LossGap": "callback", "draw_gap": "figure"}

__all__ = [
    "LossGap",
    "count_copies",
    "draw_gap",
    "in_words",
    "split_gap",
    "standard_errors",
    "table",
]


def __getattr__(name):
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{LATER[name]}", __name__), name)
