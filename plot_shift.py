"""Plot the losses of a training, as they are and with the training loss shifted."""

import io
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backend_bases import FigureCanvasBase, FigureManagerBase

from pyimagesearch import commandline
from pyimagesearch.history import (
    REPORTED,
    HistoryError,
    load,
    split_gap,
    write_atomically,
)

# What a beginner reads in the legend for each part of the gap.
REASONS = {
    "timing": "time of measurement: the training loss is older",
    "regularization": "regularization: it is on for the training loss only",
    "data": "data: the validation images are easier (+) or harder (−)",
}


def main(argv=None):
    args = parse_arguments(argv)
    np.seterr(over="ignore", invalid="ignore")  # a training that diverged is no error
    try:
        history = load(args.input)
        parts = split_gap(history) if args.explain else None
    except HistoryError as error:
        sys.exit(f"plot_shift.py: error: {error}")

    window = not args.output and has_screen()
    if not window:
        matplotlib.use("agg")
    figure = draw(history, parts)
    if parts:
        print(table(history, parts))
    if window:
        plt.show()
    else:
        write(figure, args.output or args.input.with_suffix(".png"))


def parse_arguments(argv):
    parser = commandline.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        required=True,
        metavar="PATH",
        help="the history that fashion_mnist.py --history wrote",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=figure_file,
        metavar="PATH",
        help="write the figure to this file, whose ending says the format (.png, .pdf, "
        ".svg, ...), and open no window (default: a window, or without a screen a PNG "
        "file beside the input)",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="plot and print how much of the gap each reason explains, if the history "
        "comes from fashion_mnist.py --explain",
    )
    return parser.parse_args(argv)


def figure_file(text):
    path = commandline.new_file(text)
    endings = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in endings:
        raise ArgumentTypeError(
            f"{text} does not end in a format that matplotlib can write: choose one of "
            + ", ".join(f".{ending}" for ending in endings)
        )
    return path


def draw(history, parts=None):
    plt.style.use("ggplot")
    if parts:
        ratios = [1, 1, 1.8]
        figure, axes = plt.subplots(3, figsize=(6.4, 9), height_ratios=ratios)
    else:
        figure, axes = plt.subplots(2)
    draw_losses(axes[0], history, title="Unshifted Loss Plot", shift=0)
    # The training loss is averaged over an epoch: on average it is half an epoch old.
    draw_losses(axes[1], history, title="Shifted Loss Plot", shift=-0.5)
    if parts:
        draw_gap(axes[2], parts)
    figure.tight_layout()
    return figure


def draw_losses(axes, history, title, shift):
    epochs = np.arange(len(history["loss"]))
    draw_line(axes, epochs + shift, history["loss"], label="train_loss")
    draw_line(axes, epochs, history["val_loss"], label="val_loss")
    axes.set_title(title)
    axes.set_xlabel("Epoch #")
    axes.set_ylabel("Loss")
    axes.legend()


def draw_line(axes, x, y, **style):
    shown = drawable(y)
    # A point between two gaps, or alone, would not show without a marker.
    beside = np.pad(shown, 1)
    alone = shown & ~beside[:-2] & ~beside[2:]
    if alone.any():
        style.update(marker="o", markevery=np.flatnonzero(alone).tolist())
    axes.plot(x, np.where(shown, y, np.nan), **style)


def drawable(y):
    # Keras computes in float32: what is beyond is infinite, or NaN, and drawn as a gap.
    return np.abs(y) <= np.finfo(np.float32).max


def draw_gap(axes, parts):
    """Stack the parts of each epoch's gap, positive ones upwards, others downwards."""
    epochs = np.arange(len(parts["timing"]))
    shown = np.all([drawable(part) for part in parts.values()], axis=0)
    top = np.zeros(len(epochs))
    bottom = np.zeros(len(epochs))
    # The first two colors of the style are those of the two losses above.
    for color, (name, part) in zip(["C2", "C4", "C5"], parts.items()):
        part = np.where(shown, part, 0)
        axes.bar(
            epochs,
            part,
            bottom=np.where(part > 0, top, bottom),
            color=color,
            label=REASONS[name],
        )
        top += np.maximum(part, 0)
        bottom += np.minimum(part, 0)
    gap = np.where(shown, sum(parts.values()), np.nan)
    draw_line(axes, epochs, gap, color="black", label="gap: train_loss − val_loss")
    axes.set_title("Where the Gap Comes From")
    axes.set_xlabel("Epoch #")
    axes.set_ylabel("Loss")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))


def table(history, parts):
    """The parts as text; epochs count from 1, as in Keras' own output."""
    losses = {name: history[name] for name in REPORTED}
    columns = {**losses, "gap": sum(parts.values()), **parts}
    widths = [max(len(name), 8) for name in columns]
    rows = np.column_stack(list(columns.values()))
    lines = [["epoch", *(f"{name:>{width}}" for name, width in zip(columns, widths))]]
    for epoch, row in [*enumerate(rows, start=1), ("mean", rows.mean(axis=0))]:
        cells = (f"{value:{width}.4f}" for value, width in zip(row, widths))
        lines.append([f"{epoch:>5}", *cells])
    return "\n".join("  ".join(line) for line in lines)


def has_screen():
    """Whether matplotlib can open a window: whether its backend is interactive."""
    try:
        figure = plt.figure()
    except ImportError:  # the user has chosen a backend that does not work here
        return False
    manager = figure.canvas.manager
    plt.close(figure)
    return type(manager) is not FigureManagerBase


def write(figure, path):
    image = io.BytesIO()
    try:
        figure.savefig(image, format=path.suffix[1:].lower())
    except RuntimeError as error:  # .pgf needs LaTeX
        sys.exit(f"plot_shift.py: error: {path} cannot be written: {error}")
    try:
        write_atomically(path, image.getvalue())
    except OSError as error:
        sys.exit(
            f"plot_shift.py: error: {path} cannot be written ({error.strerror}): name "
            "another file with --output"
        )
    print(f"[INFO] the figure is in {path}")


if __name__ == "__main__":
    main()
