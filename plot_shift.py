"""Plot the losses of a training, as they are and with the training loss shifted."""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from pyimagesearch.history import HistoryError, load
from pyimagesearch.lossgap import draw_gap, in_words, split_gap, table


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("-i", "--input", type=Path, required=True, help="file with the history")
    add("-o", "--output", type=Path, help="file to draw to: .png, .pdf, .svg...")
    text = "draw the reasons of the gap (default: of the %(const)s)"
    add("--explain", nargs="?", const="loss", metavar="METRIC", help=text)
    return parser.parse_args(argv)


def plot(args):
    history = load(args.input)
    plt.style.use("ggplot")
    if args.output:
        plt.switch_backend("agg")  # opens no window

    if args.explain:
        figure = plot_explained(args, history)
    else:
        figure, both = plt.subplots(2)
        plot_losses(history, "loss", *both, first_epoch=0)
        if "inference_mode_loss" in history:
            print("[INFO] --explain shows why the losses differ")

    figure.tight_layout()
    if plt.get_backend().lower() == "agg":  # for --output, or without a screen
        write(figure, args.output or args.input.with_suffix(".png"), args.input)
    else:
        plt.show()


def plot_losses(history, metric, unshifted, shifted, first_epoch):
    """The tutorial's two plots; of another metric, too."""
    train, val = history[metric], history[f"val_{metric}"]
    epochs = np.arange(len(train)) + first_epoch
    marker = "o" if len(epochs) == 1 else None  # a line needs two points
    name = metric.replace("_", " ").title()

    # The training loss is averaged over an epoch: on average it is half an epoch old.
    for axes, title, shift in [(unshifted, "Unshifted", 0), (shifted, "Shifted", 0.5)]:
        axes.plot(epochs - shift, train, marker=marker, label=f"train_{metric}")
        axes.plot(epochs, val, marker=marker, label=f"val_{metric}")
        axes.set(title=f"{title} {name} Plot", xlabel="Epoch #", ylabel=name)
        axes.legend()
    shifted.sharex(unshifted)  # so that the shift is seen
    shifted.sharey(unshifted)


def plot_explained(args, history):
    """The same beside the parts of the gap, which are told in words, too."""
    metric = args.explain
    try:
        split_gap(history, metric)
    except ValueError as error:
        sys.exit(f"error: {args.input}: {error} (or: fashion_mnist.py --explain)")
    print(table(history, metric), in_words(history, metric), sep="\n")
    layout = [["unshifted", "gap"], ["shifted", "gap"]]
    figure, panels = plt.subplot_mosaic(layout, figsize=(12, 6), width_ratios=[3, 4])
    both = panels["unshifted"], panels["shifted"]
    plot_losses(history, metric, *both, first_epoch=1)  # as in the table
    draw_gap(history, metric, panels["gap"])
    return figure


def write(figure, path, history_path):
    if path.exists() and path.samefile(history_path):
        sys.exit(f"error: {path} is the history itself: name another file (--output)")
    try:
        # With no format, a name without an ending would get one of matplotlib's.
        figure.savefig(path, format=path.suffix[1:])
    except (OSError, ValueError, RuntimeError) as error:  # the last from LaTeX
        sys.exit(f"error: {error}: name another file (--output)")
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
