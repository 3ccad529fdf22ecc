"""Train MiniVGGNet on Fashion MNIST and pickle the training history."""

import os
import sys

# TensorFlow reads these when it starts. Its oneDNN kernels are faster, and off by
# default on many processors; level 3 keeps its start-up messages off the terminal.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pyimagesearch.keras_backend  # noqa: F401 - a line where Keras does not start

# isort: split
import keras
from sklearn.metrics import classification_report
from sklearn.utils import resample

from pyimagesearch import commandline, endings
from pyimagesearch.dataset import LABEL_NAMES, hold_out, load_data, shuffled_batches
from pyimagesearch.kepthistory import KeptHistory
from pyimagesearch.lossgap import LossGap
from pyimagesearch.minivggnet import MiniVGGNet

EPOCHS = 25
LEARNING_RATE = 1e-2
BATCH_SIZE = 32


def parse_arguments(argv):
    parser = commandline.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-i",
        "--history",
        type=commandline.output_file,
        required=True,
        metavar="PATH",
        help="file for the training history; until the training ends, its finished "
        "epochs are in PATH.partial, or in PATH.2.partial if that is there already",
    )
    parser.add_argument(
        "--epochs",
        type=commandline.positive_integer,
        default=EPOCHS,
        metavar="N",
        help="times to go through the training images (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        type=commandline.positive_integer,
        default=BATCH_SIZE,
        metavar="N",
        help="images in each update of the weights (default: %(default)s)",
    )
    parser.add_argument(
        "--learning-rate",
        type=commandline.learning_rate,
        default=LEARNING_RATE,
        metavar="RATE",
        help="learning rate of the first update; it decays (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=commandline.seed,
        metavar="N",
        help="make the run repeatable: on a CPU, two runs with the same seed give the "
        "same history (default: none)",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="measure why the two losses differ, for plot_shift.py --explain; it "
        "adds about a tenth to the time of each epoch",
    )
    parser.add_argument(
        "--hold-out",
        type=commandline.positive_integer,
        metavar="N",
        help="with --explain: keep N training images out of the training and measure "
        "the loss on them too; the network then has fewer images to learn from",
    )
    args = parser.parse_args(argv)
    if args.hold_out and not args.explain:
        parser.error("argument --hold-out: it needs --explain, which measures them")
    return args


def train(args, history):
    if args.seed is not None:
        keras.utils.set_random_seed(args.seed)

    print("[INFO] loading Fashion MNIST...")
    (x_train, y_train), (x_test, y_test) = load_data()

    callbacks = [history]
    if args.explain:
        held_out = None
        if args.hold_out:
            x_train, y_train, *held_out = hold_out(
                x_train, y_train, args.hold_out, args.batch_size, args.seed
            )
        # As many training images as there are test images are enough to measure.
        size = min(len(x_test), len(x_train))
        x, y = resample(
            x_train, y_train, replace=False, n_samples=size, random_state=args.seed
        )
        # In front, so that the history holds what it measures.
        callbacks.insert(0, LossGap(x, y, args.batch_size, held_out=held_out))

    print("[INFO] compiling model...")
    # The tutorial's SGD has decay=learning_rate / epochs, which Keras 3 has dropped.
    # It divided the rate by 1 + decay * t at *update* t, not at epoch t: a schedule
    # whose steps are single updates.
    schedule = keras.optimizers.schedules.InverseTimeDecay(
        args.learning_rate, decay_steps=1, decay_rate=args.learning_rate / args.epochs
    )
    model = MiniVGGNet.build(width=28, height=28, depth=1, classes=len(LABEL_NAMES))
    model.compile(
        loss="categorical_crossentropy",
        optimizer=keras.optimizers.SGD(schedule, momentum=0.9),
        metrics=["accuracy"],
    )

    print("[INFO] training model...")
    model.fit(
        shuffled_batches(x_train, y_train, args.batch_size, args.seed),
        validation_data=(x_test, y_test),
        validation_batch_size=args.batch_size,
        epochs=args.epochs,
        shuffle=False,  # the data set does it
        callbacks=callbacks,
        verbose=1 if sys.stdout.isatty() else 2,
    )

    print("[INFO] evaluating network...")
    predictions = model.predict(x_test, batch_size=args.batch_size, verbose=0)
    print(
        classification_report(
            y_test.argmax(axis=1),
            predictions.argmax(axis=1),
            target_names=LABEL_NAMES,
            zero_division=0,  # a class that is never predicted has no precision
        )
    )

    print("[INFO] serializing training history...")
    history.finish()


def main(argv=None):
    with endings.in_one_line() as ending:
        args = parse_arguments(argv)
        history = KeptHistory(args.history)
        ending.when_stopped = history.left
        train(args, history)


if __name__ == "__main__":
    main()
