"""Import this before matplotlib: where matplotlib does not work, it says so."""

import os
import sys
from contextlib import contextmanager

from pyimagesearch import endings
from pyimagesearch.endings import ExplainedError

ADVICE = "unset MPLBACKEND, mend or remove your matplotlibrc, install requirements.txt"

with endings.in_one_line():
    try:
        import matplotlib.pyplot as plt
        from matplotlib.backend_bases import FigureCanvasBase, FigureManagerBase

        # Takes the backend that is asked for or, where that has no screen or no
        # toolkit, one without windows.
        plt.switch_backend(plt.get_backend())
    except (ImportError, RuntimeError, ValueError) as error:
        raise ExplainedError(
            f"matplotlib does not start ({error}): {ADVICE}"
        ) from error


def file_formats() -> list[str]:
    """Return the endings of the files that matplotlib can write, such as `png`."""
    return sorted(FigureCanvasBase.get_supported_filetypes())


def why_no_window(figure) -> str | None:
    """Return why matplotlib opens no window for a figure, or None where it does."""
    if figure.canvas.manager_class is not FigureManagerBase:
        return None
    if "MPLBACKEND" in os.environ:
        return f"MPLBACKEND is {os.environ['MPLBACKEND']}"
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}:
        return "there is no screen"
    return "matplotlib found no toolkit for windows: install Tk (python3-tk) or PyQt6"


@contextmanager
def explained():
    """Turn matplotlib's words on a missing or failing LaTeX into one line."""
    try:
        yield
    except RuntimeError as error:
        if "latex" not in str(error).lower():
            raise
        raise ExplainedError(f"matplotlib has no LaTeX ({error}): {ADVICE}") from error
