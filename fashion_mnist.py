"""Train MiniVGGNet on Fashion MNIST and pickle the training history."""

import argparse
import os
import shlex
import sys
from pathlib import Path

# Keras and TensorFlow read these when they are imported: that Keras runs on TensorFlow,
# as LossGap does; whether TensorFlow uses its oneDNN kernels, which are faster and off by
# default on many processors; and that it keeps its log, or most of it, to itself.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split

from pyimagesearch.checkpoint import HistoryCheckpoint
from pyimagesearch.dataset import DatasetError, load_data
from pyimagesearch.gap import count_copies
from pyimagesearch.history import HistoryError, save
from pyimagesearch.lossgap import LossGap
from pyimagesearch.minivggnet import MiniVGGNet

EPOCHS = 25
LEARNING_RATE = 1e-2
BATCH_SIZE = 32


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-i", "--history", type=history_file, required=True, help="file for the history"
    )
    parser.add_argument(
        "--epochs", type=at_least(1), default=EPOCHS, help="default: %(default)s"
    )
    parser.add_argument(
        "--batch-size",
        type=at_least(1),
        default=BATCH_SIZE,
        help="default: %(default)s",
    )
    parser.add_argument(
        "--learning-rate",
        type=learning_rate,
        default=LEARNING_RATE,
        help="of the first update, it decays (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), help="a number that makes a run repeatable"
    )
    parser.add_argument(
        "--explain", action="store_true", help="measure why the two losses differ"
    )
    parser.add_argument(
        "--hold-out", type=at_least(1), help="training images to hold out for --explain"
    )
    args = parser.parse_args(argv)
    if args.hold_out and not args.explain:
        parser.error("argument --hold-out: it needs --explain, which measures them")
    return args


def history_file(text):
    path = Path(text)
    folder = path.parent
    if path.is_dir() or not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise argparse.ArgumentTypeError(
            f"{path} cannot be written: name a file in a folder that is there"
        )
    return path


def at_least(smallest):
    def number(text):
        if not smallest <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(f"{text} is not from {smallest} to 2^32-1")
        return int(text)

    return number


def learning_rate(text):
    if not 0 < float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return float(text)


def train(args, checkpoint):
    if args.seed is not None:
        keras.utils.set_random_seed(args.seed)

    print("[INFO] loading Fashion MNIST...")
    (x_train, y_train), (x_test, y_test) = load_data()

    # A channel axis, where Keras is set to have it.
    channels_first = keras.config.image_data_format() == "channels_first"
    image_shape = (1, 28, 28) if channels_first else (28, 28, 1)
    x_train = x_train.reshape(-1, *image_shape)
    x_test = x_test.reshape(-1, *image_shape)

    x_train = x_train.astype("float32") / 255.0
    x_test = x_test.astype("float32") / 255.0

    y_train = keras.utils.to_categorical(y_train, 10)
    y_test = keras.utils.to_categorical(y_test, 10)

    label_names = ["top", "trouser", "pullover", "dress", "coat"]
    label_names += ["sandal", "shirt", "sneaker", "bag", "ankle boot"]

    print("[INFO] compiling model...")
    # The tutorial's SGD has decay=learning_rate / epochs, which Keras 3 has dropped. It
    # divided the rate by 1 + decay * t at *update* t, not at epoch t. This schedule does
    # the same.
    schedule = keras.optimizers.schedules.InverseTimeDecay(
        args.learning_rate, decay_steps=1, decay_rate=args.learning_rate / args.epochs
    )
    model = MiniVGGNet.build(width=28, height=28, depth=1, classes=10)
    model.compile(
        loss="categorical_crossentropy",
        optimizer=keras.optimizers.SGD(schedule, momentum=0.9),
        metrics=["accuracy"],
    )

    callbacks = []
    if args.explain:
        held_out = None
        if args.hold_out:
            if args.hold_out >= len(x_train):
                sys.exit(f"error: --hold-out: there are {len(x_train)} training images")
            x_train, x_held_out, y_train, y_held_out = train_test_split(
                x_train, y_train, test_size=args.hold_out, random_state=args.seed
            )
            held_out = x_held_out, y_held_out
        copies = count_copies(x_train, x_test)
        print(
            f"[INFO] {copies} of {len(x_test)} test images are in the training set too"
        )
        # As many training images as there are test images are enough to measure, and
        # Fashion MNIST's are in no order.
        x, y = x_train[: len(x_test)], y_train[: len(x_test)]
        callbacks.append(LossGap(x, y, args.batch_size, held_out=held_out))

    print("[INFO] training model...")
    # A data set, which shuffles anew in each epoch: given arrays and a seed, Keras 3 has
    # the same order in all epochs.
    batches = (
        tf.data.Dataset.from_tensor_slices((x_train, y_train))
        .shuffle(len(x_train), seed=args.seed)
        .batch(args.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    history = model.fit(
        batches,
        validation_data=(x_test, y_test),
        validation_batch_size=args.batch_size,
        epochs=args.epochs,
        shuffle=False,  # the data set does it
        callbacks=[*callbacks, checkpoint],  # which saves what LossGap has measured
        # In a log, Keras' progress bar would be thousands of lines.
        verbose="auto" if sys.stdout.isatty() else 2,
    )

    print("[INFO] evaluating network...")
    predictions = model.predict(x_test, batch_size=args.batch_size, verbose=0)
    print(
        classification_report(
            y_test.argmax(axis=1),
            predictions.argmax(axis=1),
            target_names=label_names,
            zero_division=0,  # a class that is never predicted has no precision
        )
    )

    print("[INFO] serializing training history...")
    save(history.history, args.history)  # pickled
    checkpoint.partial.unlink()


def main(argv=None):
    args = parse_arguments(argv)
    checkpoint = HistoryCheckpoint(args.history)
    try:
        train(args, checkpoint)
    except (DatasetError, HistoryError) as error:
        sys.exit(f"error: {error}{what_is_kept(checkpoint)}")
    except KeyboardInterrupt:
        kept = what_is_kept(checkpoint) or "; no epoch was finished, nothing is saved"
        print(f"\nstopped{kept}", file=sys.stderr)
        sys.exit(130)


def what_is_kept(checkpoint):
    if not checkpoint.saved:
        return ""
    script = Path(__file__).with_name("plot_shift.py")
    command = [sys.executable, str(script), "--input", str(checkpoint.partial)]
    return (
        f"; the finished epochs are in {checkpoint.partial}; plot them with: "
        + shlex.join(command)
    )


if __name__ == "__main__":
    main()
