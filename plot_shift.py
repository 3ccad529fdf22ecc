"""Plot the losses of a training, as they are and with the training loss shifted."""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from pyimagesearch import gap
from pyimagesearch.history import HistoryError, load

# Paul Tol's muted colors and the darkest of his rainbow, told apart with color
# blindness, too. The last part is the sum of the two before it, never beside them.
COLORS = ["#332288", "#42150A", "#DDCC77", "#88CCEE", "#AA4499", "#117733", "#AA4499"]
COLORS = dict(zip(gap.REASONS, COLORS))


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-i", "--input", type=Path, required=True, help="the history")
    parser.add_argument("-o", "--output", type=Path, help="figure: .png, .pdf, .svg...")
    parser.add_argument("--explain", action="store_true", help="draw the gap's reasons")
    return parser.parse_args(argv)


def plot(args):
    history = load(args.input)
    epochs = np.arange(len(history["loss"]))
    marker = "o" if len(epochs) == 1 else None  # a line needs two points
    try:
        parts = gap.split_gap(history)
        if not args.explain:
            print("[INFO] --explain shows why the losses differ")
    except ValueError as error:
        if args.explain:
            how = "train with fashion_mnist.py --explain"
            sys.exit(f"error: {args.input}: {error}; {how}")

    plt.style.use("ggplot")
    if args.output:
        plt.switch_backend("agg")  # opens no window
    if args.explain:
        print(gap.table(history), gap.in_words(history), sep="\n")
        layout = [["unshifted", "gap"], ["shifted", "gap"]]
        figure, axes = plt.subplot_mosaic(layout, figsize=(12, 6), width_ratios=[3, 4])
        unshifted, shifted = axes["unshifted"], axes["shifted"]
        epochs += 1  # as in the table
        draw_gap(axes["gap"], epochs, parts, gap.standard_errors(history))
    else:
        figure, (unshifted, shifted) = plt.subplots(2)

    unshifted.plot(epochs, history["loss"], marker=marker, label="train_loss")
    unshifted.plot(epochs, history["val_loss"], marker=marker, label="val_loss")
    unshifted.set(title="Unshifted Loss Plot", xlabel="Epoch #", ylabel="Loss")
    unshifted.legend()

    # The training loss is averaged over an epoch: on average it is half an epoch old.
    shifted.plot(epochs - 0.5, history["loss"], marker=marker, label="train_loss")
    shifted.plot(epochs, history["val_loss"], marker=marker, label="val_loss")
    shifted.set(title="Shifted Loss Plot", xlabel="Epoch #", ylabel="Loss")
    shifted.legend()

    figure.tight_layout()
    if plt.get_backend().lower() == "agg":  # for --output, or without a screen
        write(figure, args.output or args.input.with_suffix(".png"), args.input)
    else:
        plt.show()


def draw_gap(axes, epochs, parts, errors):
    """Stack the parts of each epoch's gap, positive ones upwards, others downwards."""
    top = bottom = np.zeros(len(epochs))
    for name, part in parts.items():
        part, label = np.nan_to_num(part), name.replace("_", " ")
        start = np.where(part > 0, top, bottom)
        axes.bar(epochs, part, 0.9, start, color=COLORS[name], ec="white", label=label)
        # A veil, and not pale bars: the legend would show the first one's color.
        veiled = np.where(gap.may_be_chance(part, errors[name]), part, 0)
        axes.bar(epochs, veiled, 0.9, start, color=axes.get_facecolor(), alpha=0.6)
        top, bottom = top + np.maximum(part, 0), bottom + np.minimum(part, 0)
    axes.axhline(0, color="black", linewidth=1)
    total, label = sum(parts.values()), "gap (sum of the parts)"
    axes.plot(epochs, total, color="white", linewidth=4)  # an outline on dark bars
    axes.plot(epochs, total, "o-", color="black", markeredgecolor="white", label=label)
    axes.set(title="Where the Gap Comes From", xlabel="Epoch #")
    axes.set_ylabel("train_loss - val_loss")
    known = np.isfinite(list(errors.values())).any()
    axes.legend(title="pale: may be chance" if known else None)


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
