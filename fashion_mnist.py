"""Train MiniVGGNet on Fashion MNIST and pickle the training history."""

import argparse
import math
import os
import shlex
import sys
from pathlib import Path

# Read when Keras is imported. LossGap needs it on TensorFlow; oneDNN's kernels are
# faster; a log level of 3 hides a message about CUDA, harmless without a GPU.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split

from pyimagesearch.dataset import DatasetError, load_data
from pyimagesearch.history import HistoryError, save
from pyimagesearch.lossgap import LossGap, count_copies, in_words, table
from pyimagesearch.minivggnet import MiniVGGNet


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    add, default = parser.add_argument, "default: %(default)s"
    add("-i", "--history", type=history_file, required=True, help="file to write")
    add("--epochs", type=at_least(1), default=25, help=default)
    add("--batch-size", type=at_least(1), default=32, help=default)
    add("--learning-rate", type=positive, default=1e-2, help=f"initial rate, {default}")
    add("--seed", type=at_least(0), help="a number that makes a run repeatable")
    text = "measure the gap on N training images (default: %(const)s)"
    add("--explain", type=at_least(1), nargs="?", const=6_400, metavar="N", help=text)
    text = "hold out N training images, only to measure"
    add("--hold-out", type=at_least(1), metavar="N", help=text)
    args = parser.parse_args(argv)
    if args.hold_out and args.explain is None:
        parser.error("argument --hold-out: it needs --explain, which measures them")
    return args


def history_file(text):
    path = Path(text)
    # The slash refuses a file in the place of the folder.
    if path.is_dir() or not os.access(f"{path.parent}/", os.W_OK):
        raise argparse.ArgumentTypeError(f"{path} cannot be written: name another file")
    return path


def at_least(smallest):
    def whole_number(text):  # argparse prints this name
        if not smallest <= int(text) < 2**32:  # where NumPy's seeds end
            raise argparse.ArgumentTypeError(f"{text} is not from {smallest} to 2^32-1")
        return int(text)

    return whole_number


def positive(text):
    if not 0 < float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return float(text)


def train(args):
    if args.seed is not None:
        keras.utils.set_random_seed(args.seed)

    # As in the tutorial, the test set is the validation set.
    print("[INFO] loading Fashion MNIST...")
    (x_train, y_train), (x_test, y_test) = load_data()

    # Add the channel and scale the pixels from 0 ... 255 to 0 ... 1.
    keras.config.set_image_data_format("channels_last")  # whatever keras.json says
    x_train = x_train.reshape(-1, 28, 28, 1).astype("float32") / 255.0
    x_test = x_test.reshape(-1, 28, 28, 1).astype("float32") / 255.0

    # One-hot labels, and their names.
    y_train = keras.utils.to_categorical(y_train, 10)
    y_test = keras.utils.to_categorical(y_test, 10)
    label_names = ["top", "trouser", "pullover", "dress", "coat"]
    label_names += ["sandal", "shirt", "sneaker", "bag", "ankle boot"]

    callbacks = []
    if args.explain is not None:
        x_train, y_train, loss_gap = prepare_to_explain(args, x_train, y_train, x_test)
        callbacks.append(loss_gap)

    print("[INFO] compiling model...")
    # The tutorial's SGD has decay=learning_rate / epochs, which Keras 3 has dropped. It
    # divided the rate by 1 + decay * t at *update* t, not at epoch t, as this does.
    schedule = keras.optimizers.schedules.InverseTimeDecay(
        args.learning_rate, decay_steps=1, decay_rate=args.learning_rate / args.epochs
    )
    model = MiniVGGNet.build(width=28, height=28, depth=1, classes=10)
    model.compile(
        loss="categorical_crossentropy",
        optimizer=keras.optimizers.SGD(schedule, momentum=0.9),
        metrics=["accuracy"],
    )

    # `fit` returns its History at the end, and a kill must not cost more than an epoch.
    history = keras.callbacks.History()
    partial_file = args.history.with_name(f"{args.history.name}.partial")
    checkpoint = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: save(history.history, partial_file)
    )
    callbacks += [history, checkpoint]

    print(f"[INFO] finished epochs are kept in {partial_file}")
    print("[INFO] training model...")
    # Data sets, not arrays: with arrays and a seed, Keras 3 has the same order in all
    # epochs; and tf.data's autotuning, which Keras leaves on for arrays, has nothing to
    # tune here, but can make `fit` wait for a minute at the end of an epoch.
    options = tf.data.Options()
    options.autotune.enabled = False
    train_images = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    train_images = train_images.shuffle(len(x_train), seed=args.seed)
    test_images = tf.data.Dataset.from_tensor_slices((x_test, y_test))
    train_batches, test_batches = (
        images.batch(args.batch_size).prefetch(2).with_options(options)
        for images in (train_images, test_images)
    )
    model.fit(
        train_batches,
        validation_data=test_batches,
        epochs=args.epochs,
        shuffle=False,  # the data set does it
        callbacks=callbacks,
        # In a log, Keras' progress bar would be thousands of lines.
        verbose="auto" if sys.stdout.isatty() else 2,
    )

    print("[INFO] evaluating network...")
    predictions = model.predict(test_batches, verbose=0)
    report = classification_report(
        y_test.argmax(axis=1),
        predictions.argmax(axis=1),
        target_names=label_names,
        zero_division=0,  # a class that is never predicted has no precision
    )
    print(report)

    print("[INFO] serializing training history...")
    save(history.history, args.history)
    partial_file.unlink()

    if args.explain is not None:
        print(f"\n{table(history)}\n\n{in_words(history)}\n")
        if args.explain < len(x_train):
            print(f"To measure all of the images: --explain {len(x_train)}")
        command = f"plot_shift.py --input {shlex.quote(str(args.history))} --explain"
        print(f"To see it: python {command}\nAccuracy's: python {command} accuracy")


def prepare_to_explain(args, x_train, y_train, x_test):
    """Count copies, and hold images out; return the images to train on, and LossGap."""
    copies = count_copies(x_train, x_test)
    print(f"[INFO] {copies} of {len(x_test)} test images are training images too")

    held_out = None
    if args.hold_out:
        if args.hold_out >= len(x_train):
            sys.exit(f"error: --hold-out: there are {len(x_train)} training images")
        x_train, x_held_out, y_train, y_held_out = train_test_split(
            x_train, y_train, test_size=args.hold_out, random_state=args.seed
        )
        held_out = x_held_out, y_held_out

    steps = math.ceil(args.explain / args.batch_size)
    return x_train, y_train, LossGap(steps=steps, held_out=held_out)


def main(argv=None):
    args = parse_arguments(argv)
    try:
        train(args)
    except (DatasetError, HistoryError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
