"""Plot the losses of a training, as they are and with the training loss shifted."""

from pathlib import Path

from pyimagesearch import matplotlib_backend  # first: a line where it does not start

# isort: split
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PolyCollection

from pyimagesearch import commandline, endings, explanation
from pyimagesearch.history import HistoryError, load, split_gap

# What a beginner reads in the legend for each part of the gap.
REASONS = {
    "timing": "time of measurement: the training loss is older",
    "regularization": "regularization: it is on for the training loss only",
    "memorization": "memorization: the network knows the training images (−)",
    "data": "data: the validation images are easier (+) or harder (−)",
}
# Without held-out images the last two are one.
KNOWN_OR_EASIER = (
    "data: the training images are known (−), the validation\n"
    "images easier (+) or harder (−)"
)


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
        type=matplotlib_backend.figure_file,
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


def plot(args):
    history = load(args.input)
    parts = parts_of(history, args.input) if args.explain else None
    epochs = np.arange(len(history["loss"]))
    marker = "o" if len(epochs) == 1 else None  # a line needs two points

    plt.style.use("ggplot")
    if len(epochs) > 1_000:
        plt.rc("legend", loc="upper right")  # to look for the best place takes long
    if args.output:
        plt.switch_backend("agg")
    if parts:
        rows = [["unshifted", "gap"], ["shifted", "gap"]]
        figure, axes = plt.subplot_mosaic(rows, figsize=(13, 6.4))
        unshifted, shifted = axes["unshifted"], axes["shifted"]
        draw_gap(axes["gap"], epochs, parts, marker)
    else:
        figure, (unshifted, shifted) = plt.subplots(2)

    unshifted.plot(epochs, history["loss"], label="train_loss", marker=marker)
    unshifted.plot(epochs, history["val_loss"], label="val_loss", marker=marker)
    unshifted.set(title="Unshifted Loss Plot", xlabel="Epoch #", ylabel="Loss")
    unshifted.legend()

    # The training loss is averaged over an epoch: on average it is half an epoch old.
    shifted.plot(epochs - 0.5, history["loss"], label="train_loss", marker=marker)
    shifted.plot(epochs, history["val_loss"], label="val_loss", marker=marker)
    shifted.set(title="Shifted Loss Plot", xlabel="Epoch #", ylabel="Loss")
    shifted.legend()

    figure.tight_layout()
    no_window = matplotlib_backend.why_no_window(figure)
    if no_window:
        output = args.output or args.input.with_suffix(".png")
        matplotlib_backend.write(figure, output, history_file=args.input)
    if no_window and not args.output:
        print(endings.one_line(f"[INFO] no window: {no_window}"))
    if parts:
        print(explanation.table(history, parts))
        print(explanation.in_words(parts))
    if not no_window:
        plt.show()


def parts_of(history, path):
    try:
        return split_gap(history)
    except HistoryError as error:
        raise HistoryError(f"{path}: {error}") from error


@np.errstate(invalid="ignore")  # a training that diverged has infinite losses
def draw_gap(axes, epochs, parts, marker):
    """Stack the parts of each epoch's gap, positive ones upwards, others downwards."""
    gap = sum(parts.values())
    finite = np.isfinite(gap)
    top = bottom = np.zeros(len(epochs))
    # The first two colors of the style are those of the two losses.
    for color, (name, part) in zip(["C2", "C4", "C5", "C3"], parts.items()):
        start = np.where(part > 0, top, bottom)
        end = start + part
        # One collection: Axes.bar needs minutes for very many epochs.
        left, right = epochs - 0.4, epochs + 0.4
        corners = [[left, start], [left, end], [right, end], [right, start]]
        bars = np.moveaxis(corners, -1, 0)[finite]
        label = KNOWN_OR_EASIER if name == "data" and len(parts) == 3 else REASONS[name]
        axes.add_collection(PolyCollection(bars, linewidth=0, color=color, label=label))
        top, bottom = top + np.maximum(part, 0), bottom + np.minimum(part, 0)
    axes.plot(
        epochs, gap, color="black", marker=marker, label="gap: train_loss − val_loss"
    )
    axes.set(title="Where the Gap Comes From", xlabel="Epoch #", ylabel="Loss")
    axes.legend()


def main(argv=None):
    with endings.in_one_line():
        args = parse_arguments(argv)
        with matplotlib_backend.explained():
            plot(args)


if __name__ == "__main__":
    main()
