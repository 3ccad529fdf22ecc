"""Plot the losses of a training, as they are and with the training loss shifted."""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from pyimagesearch.history import HistoryError, load
from pyimagesearch.lossgap import draw_gap, in_words, split_gap, standard_errors, table


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
    metric = args.explain or "loss"
    try:
        parts = split_gap(history, metric)
        if not args.explain:
            print("[INFO] --explain shows why the losses differ")
    except ValueError as error:
        if args.explain:
            sys.exit(f"error: {args.input}: {error} (or: fashion_mnist.py --explain)")
    train, val = f"train_{metric}", f"val_{metric}"
    epochs = np.arange(len(history[val]))
    marker = "o" if len(epochs) == 1 else None  # a line needs two points

    plt.style.use("ggplot")
    if args.output:
        plt.switch_backend("agg")  # opens no window
    if args.explain:
        print(table(history, metric), in_words(history, metric), sep="\n")
        layout = [["unshifted", "gap"], ["shifted", "gap"]]
        figure, axes = plt.subplot_mosaic(layout, figsize=(12, 6), width_ratios=[3, 4])
        unshifted, shifted = axes["unshifted"], axes["shifted"]
        shifted.sharex(unshifted)
        shifted.sharey(unshifted)
        epochs += 1  # as in the table
        draw_gap(axes["gap"], epochs, parts, standard_errors(history, metric))
        axes["gap"].set_ylabel(f"{train} - {val} (above 0: {val} is lower)", size=10)
    else:
        figure, (unshifted, shifted) = plt.subplots(2)

    # The training loss is averaged over an epoch: on average it is half an epoch old.
    name = metric.replace("_", " ").title()
    for axes, which, shift in [(unshifted, "Unshifted", 0), (shifted, "Shifted", 0.5)]:
        axes.plot(epochs - shift, history[metric], marker=marker, label=train)
        axes.plot(epochs, history[val], marker=marker, label=val)
        axes.set(title=f"{which} {name} Plot", xlabel="Epoch #", ylabel=name)
        axes.legend()

    figure.tight_layout()
    if plt.get_backend().lower() == "agg":  # for --output, or without a screen
        write(figure, args.output or args.input.with_suffix(".png"), args.input)
    else:
        plt.show()


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
