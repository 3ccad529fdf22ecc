"""Plot the losses of a training, as they are and with the training loss shifted."""

import argparse
import sys
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backend_bases import FigureManagerBase

from pyimagesearch.gap import REASONS, in_words, split_gap, table
from pyimagesearch.history import HistoryError, load

# Colors of the style; C0 and C1 are those of the two losses. The last two reasons share
# one: they are never together.
COLORS = dict(zip(REASONS, ["C2", "C4", "C6", "C5", "C3", "C3"]))


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-i", "--input", type=Path, required=True, help="history to plot"
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="file for the figure: .png, .pdf, .svg, ..."
    )
    parser.add_argument(
        "--explain", action="store_true", help="show the measured reasons of the gap"
    )
    return parser.parse_args(argv)


def plot(args):
    history = load(args.input)
    epochs = np.arange(len(history["loss"]))

    plt.style.use("ggplot")
    if len(epochs) == 1:
        plt.rcParams["lines.marker"] = "o"  # a line needs two points
    if args.output:
        plt.switch_backend("agg")  # opens no window
    if args.explain:
        layout = [["unshifted", "gap"], ["shifted", "gap"]]
        figure, axes = plt.subplot_mosaic(layout, figsize=(13, 6.4))
        unshifted, shifted = axes["unshifted"], axes["shifted"]
        try:
            parts = split_gap(history)
        except ValueError as error:
            sys.exit(f"error: {args.input}: {error}")
        draw_gap(axes["gap"], epochs, parts)
    else:
        figure, (unshifted, shifted) = plt.subplots(2)

    unshifted.plot(epochs, history["loss"], label="train_loss")
    unshifted.plot(epochs, history["val_loss"], label="val_loss")
    unshifted.set(title="Unshifted Loss Plot", xlabel="Epoch #", ylabel="Loss")
    unshifted.legend()

    # The training loss is averaged over an epoch, so on average it is half an epoch old.
    shifted.plot(epochs - 0.5, history["loss"], label="train_loss")
    shifted.plot(epochs, history["val_loss"], label="val_loss")
    shifted.set(title="Shifted Loss Plot", xlabel="Epoch #", ylabel="Loss")
    shifted.legend()

    figure.tight_layout()
    if args.explain:
        print(table(history))
        print("(epochs count from 1, as in Keras' output; in the plots from 0)")
        print(in_words(history))
    if args.output:
        write(figure, args.output, args.input)
    elif type(figure.canvas.manager) is FigureManagerBase:  # it has no window to show
        write(figure, args.input.with_suffix(".png"), args.input)
    else:
        plt.show()


def draw_gap(axes, epochs, parts):
    """Stack the parts of each epoch's gap, positive ones upwards, others downwards."""
    gap = sum(parts.values())
    top = bottom = np.zeros(len(epochs))
    for name, part in parts.items():
        label = textwrap.fill(f"{name.replace('_', ' ')}: {REASONS[name]}", 54)
        start = np.where(part > 0, top, bottom)
        axes.bar(epochs, part, bottom=start, color=COLORS[name], label=label)
        top, bottom = top + np.maximum(part, 0), bottom + np.minimum(part, 0)
    axes.plot(epochs, gap, color="black", label="gap: train_loss - val_loss")
    axes.set(title="Where the Gap Comes From", xlabel="Epoch #", ylabel="Loss")
    axes.legend()


def write(figure, path, history_path):
    if path.exists() and path.samefile(history_path):
        sys.exit(f"error: {path} is the history itself: name another file (--output)")
    try:
        # With no format, a name without an ending would get one of matplotlib's.
        figure.savefig(path, format=path.suffix[1:])
    except (OSError, ValueError, RuntimeError) as error:  # the last from LaTeX
        sys.exit(f"error: {path} cannot be written ({error}): name another (--output)")
    print(f"[INFO] the figure is in {path}")


def main(argv=None):
    args = parse_arguments(argv)
    try:
        plot(args)
    except HistoryError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
