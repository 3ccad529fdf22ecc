"""Train MiniVGGNet on Fashion MNIST and pickle the training history."""

import shlex
import signal
import sys
from contextlib import contextmanager

import pyimagesearch.quiet  # noqa: F401 - before Keras starts TensorFlow

# isort: split
import keras
import tensorflow as tf
from sklearn.metrics import classification_report
from sklearn.utils import resample

from pyimagesearch import commandline
from pyimagesearch.dataset import LABEL_NAMES, DatasetError, load_data
from pyimagesearch.history import HistoryError, load, rename, save
from pyimagesearch.lossgap import LossGap
from pyimagesearch.minivggnet import MiniVGGNet

EPOCHS = 25
LEARNING_RATE = 1e-2
BATCH_SIZE = 32


def main(argv=None):
    args = parse_arguments(argv)
    if args.seed is not None:
        keras.utils.set_random_seed(args.seed)

    partial = args.history.with_name(args.history.name + ".partial")
    history = SavedHistory(partial)
    with explained_ending(history):
        print("[INFO] loading Fashion MNIST...")
        (x_train, y_train), (x_test, y_test) = load_data()

        print("[INFO] compiling model...")
        model = compiled_model(args.learning_rate, args.epochs)

        print("[INFO] training model...")
        model.fit(
            shuffled_batches(x_train, y_train, args.batch_size, args.seed),
            validation_data=(x_test, y_test),
            validation_batch_size=args.batch_size,
            epochs=args.epochs,
            shuffle=False,  # the data set does it
            # LossGap stands first, so that the history holds what it measures.
            callbacks=[*loss_gap(args, x_train, y_train, len(x_test)), history],
            verbose=1 if sys.stdout.isatty() else 2,
        )

        print("[INFO] evaluating network...")
        predictions = model.predict(x_test, batch_size=args.batch_size, verbose=0)
        print(report(y_test, predictions))

        print("[INFO] serializing training history...")
        history.finish(args.history)


def parse_arguments(argv):
    parser = commandline.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-i",
        "--history",
        type=commandline.new_file,
        required=True,
        metavar="PATH",
        help="file for the training history; until the training ends, its finished "
        "epochs are in PATH.partial",
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
        type=commandline.positive_number,
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
    return parser.parse_args(argv)


def compiled_model(learning_rate, epochs):
    # The tutorial's SGD has decay=learning_rate / epochs, which Keras 3 has dropped.
    # It divided the rate by 1 + decay * t at *update* t, not at epoch t: a schedule
    # whose steps are single updates.
    schedule = keras.optimizers.schedules.InverseTimeDecay(
        learning_rate, decay_steps=1, decay_rate=learning_rate / epochs
    )
    model = MiniVGGNet.build(width=28, height=28, depth=1, classes=len(LABEL_NAMES))
    model.compile(
        loss="categorical_crossentropy",
        optimizer=keras.optimizers.SGD(schedule, momentum=0.9),
        metrics=["accuracy"],
    )
    return model


def shuffled_batches(x, y, batch_size, seed):
    """Batches in a new order each epoch, with a seed too.

    Given arrays and a seed, Keras 3's `fit` repeats one order in every epoch: see
    https://github.com/tensorflow/tensorflow/issues/35682.
    """
    return (
        tf.data.Dataset.from_tensor_slices((x, y))
        .shuffle(len(x), seed=seed)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def loss_gap(args, x_train, y_train, size):
    """With --explain, the callback that measures the gap on a sample of `size`."""
    if not args.explain:
        return []
    size = min(size, len(x_train))
    sample = resample(
        x_train, y_train, replace=False, n_samples=size, random_state=args.seed
    )
    return [LossGap(*sample, batch_size=args.batch_size)]


def report(y_test, predictions):
    return classification_report(
        y_test.argmax(axis=1),
        predictions.argmax(axis=1),
        labels=range(len(LABEL_NAMES)),
        target_names=LABEL_NAMES,
        zero_division=0,  # a tiny data set may lack a class
    )


class SavedHistory(keras.callbacks.History):
    """Keras' history of the training, on disk after each epoch in `partial`."""

    def __init__(self, partial):
        super().__init__()
        self.partial = partial

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        save(self.history, self.partial)

    def epochs_on_disk(self):
        # Not a counter: a signal may come between the file and the counter.
        if not self.history:
            return 0  # what is in the file comes from an earlier run
        try:
            return len(load(self.partial)["loss"])
        except HistoryError:
            return 0  # stopped while the first epoch was saved

    def finish(self, path):
        try:
            rename(self.partial, path)
        except OSError as error:
            raise HistoryError(
                f"{path} cannot be written ({error.strerror}): the whole history is in "
                f"{self.partial}, move it by hand"
            ) from error


@contextmanager
def explained_ending(history):
    """Turn whatever ends the run early into one line that says what is left."""

    def stop(number, frame):
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (DatasetError, HistoryError) as error:
        sys.exit(f"fashion_mnist.py: error: {error}")
    except KeyboardInterrupt as interrupt:
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        if epochs := history.epochs_on_disk():
            path = shlex.quote(str(history.partial))
            left = (
                f"finished epochs: {epochs}, in {history.partial}; "
                f"plot them with: python plot_shift.py --input {path}"
            )
        else:
            left = "no epoch was finished, nothing is saved"
        print(f"fashion_mnist.py: stopped: {left}", file=sys.stderr)
        sys.exit(128 + number)


if __name__ == "__main__":
    main()
