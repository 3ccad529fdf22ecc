"""Import this before matplotlib: where matplotlib does not work, it says so.

It also knows whether there is a window, and writes the figure where there is none.
"""

import io
import os
import sys
from argparse import ArgumentTypeError
from contextlib import contextmanager
from pathlib import Path

from pyimagesearch import commandline, endings, wholefile
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


def figure_file(text: str) -> Path:
    """A file that matplotlib can write; its ending says the format."""
    path = commandline.output_file(text)
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in formats:
        raise ArgumentTypeError(
            f"{text} does not end in a format that matplotlib can write: choose one of "
            + ", ".join(f".{name}" for name in formats)
        )
    return path


def why_no_window(figure) -> str | None:
    """Return why matplotlib opens no window for a figure, or None where it does."""
    if figure.canvas.manager_class is not FigureManagerBase:
        return None
    if "MPLBACKEND" in os.environ:
        return f"MPLBACKEND is {os.environ['MPLBACKEND']}"
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}:
        return "there is no screen"
    return "matplotlib found no toolkit for windows: install Tk (python3-tk) or PyQt6"


def write(figure, path: Path, history_file: Path) -> None:
    """Write a figure, whole or not at all, and never over the history.

    Raises:
        ExplainedError: if it cannot be written; a file already there is unchanged.
    """
    if path.exists() and path.samefile(history_file):
        raise ExplainedError(
            f"{path} is the history itself: name another file with --output"
        )
    image = io.BytesIO()
    figure.savefig(image, format=path.suffix[1:].lower())
    try:
        wholefile.write(path, image.getvalue())
    except OSError as error:
        raise ExplainedError(
            f"{path} cannot be written ({error.strerror}): name another file with "
            "--output"
        ) from error
    print(endings.one_line(f"[INFO] the figure is in {path}"))


@contextmanager
def explained():
    """Turn matplotlib's words on a missing or failing LaTeX into one line."""
    try:
        yield
    except RuntimeError as error:
        if "latex" not in str(error).lower():
            raise
        raise ExplainedError(f"matplotlib has no LaTeX ({error}): {ADVICE}") from error
