"""Measure why the validation loss differs from the training loss."""

import inspect
import math
from contextlib import contextmanager
from functools import partial
from gc import get_objects

import keras
import numpy as np
import tensorflow as tf


class LossGap(keras.callbacks.Callback):
    """Measure the loss after each epoch, in training mode and in inference mode.

    Keras reports a training loss that is averaged over the epoch, in training mode.
    This callback adds losses that are measured *after* the epoch to its logs:

    - `training_mode_loss`: on training data, with dropout on and the statistics of
      each batch;
    - `inference_mode_loss`: on the same data, as `model.evaluate` and the validation
      see them;
    - `held_out_loss`: the same on data that are like the training data, but never
      trained on; only with `held_out`.

    `pyimagesearch.history.split_gap` tells from them how much of the gap each of its
    reasons explains.

    The training goes on as if nothing had been measured: after each measurement, after
    an error and after Ctrl-C too, the model's variables and Keras' seed generators are
    put back. What it cannot put back is state that it cannot see: `tf.random` in a
    model that runs eagerly, numbers that a layer keeps in Python, and the replicas'
    own averages of batch normalization under a distribution strategy.

    The parts are undefined where `loss` and `val_loss` are not the loss of one model:
    with a `train_step` or `test_step` of your own that computes another loss, and with
    `SwapEMAWeights`, which validates the averaged weights. A batch of Keras 3.0 weighs
    the same whatever its size: there, take a `batch_size` that divides the data.

    Example:

    ```python
    loss_gap = LossGap(x_train, y_train, batch_size=64)
    history = model.fit(
        x_train,
        y_train,
        batch_size=64,
        validation_data=(x_val, y_val),
        callbacks=[loss_gap, keras.callbacks.CSVLogger("log.csv")],
    )
    print(split_gap(history))
    ```

    Callbacks that write or read logs, such as `CSVLogger`, `TensorBoard` and
    `EarlyStopping`, see the losses only when they stand behind `LossGap`, as above.
    `History` always does.

    With `fit(..., class_weight={0: 1.0, 1: 5.0})` the same weights are needed here, or
    what they change would be counted as timing:

    ```python
    weights = np.array([1.0, 5.0])[y_train]  # for y_train as class numbers
    LossGap(x_train, y_train, sample_weight=weights)
    ```

    Args:
        x: the training data or, as every epoch measures all of it, a random sample of
            a few thousand, shape `(n, ...)`. Arrays, or dicts, lists or tuples of
            them, are read batch by batch without a copy. Or a data set: a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator that yields
            batches as for `fit`. It must be another object than the one that `fit`
            reads, since measuring would draw on its order, and where training mode
            depends on the batch (batch normalization) its batches must be mixed. A
            generator goes on where it is, so the two modes see different batches.
        y: the labels, as for `fit`; `None` if `x` has them.
        batch_size: examples in a batch of arrays. It must be `fit`'s: batch
            normalization depends on it, and with `reduction="sum"` the loss itself
            does. Defaults to 32. Training mode sees arrays in a mixed order.
        sample_weight: what `fit` gets as `sample_weight`, for these data. Defaults to
            `None`.
        steps: batches to measure, as for `model.evaluate`; needed for endless data
            sets and for generators. Defaults to `None`, all.
        held_out: `(x, y)`, `(x, y, sample_weight)` or a data set: from the same source
            as the training data, but never given to `fit`. Defaults to `None`.

    Raises:
        ValueError: before the first epoch, in one line, if the data are empty, of
            unequal lengths, endless without `steps`, or do not fit the model; and if
            the model has no loss.
    """

    def __init__(
        self, x, y=None, batch_size=32, sample_weight=None, steps=None, held_out=None
    ):
        super().__init__()
        self.data = checked((x, y, sample_weight), steps)
        self.batch_size = batch_size
        self.steps = steps
        self.held_out = None
        if held_out is not None:
            held_out = keras.utils.unpack_x_y_sample_weight(held_out)
            self.held_out = checked(held_out, steps, "held_out: ")

    def on_train_begin(self, logs=None):
        self.training_mode = TrainingMode(self.model)
        self.training_mode.compile(
            run_eagerly=self.model.run_eagerly, jit_compile=self.model.jit_compile
        )
        # One batch of each shows what does not fit, before an epoch is spent on it.
        try:
            self.measure({}, steps=1)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"LossGap cannot measure this: {reason}") from error

    def on_epoch_end(self, epoch, logs):
        self.measure(logs, self.steps)

    def measure(self, logs, steps):
        variables = variables_of(self.model)

        def loss_of(model, data, mixed=False):
            with unchanged(variables):
                return evaluate(model, data, self.batch_size, steps, mixed)

        logs["training_mode_loss"] = loss_of(self.training_mode, self.data, mixed=True)
        logs["inference_mode_loss"] = loss_of(self.model, self.data)
        if self.held_out:
            logs["held_out_loss"] = loss_of(self.model, self.held_out)


class TrainingMode(keras.Model):
    """A model whose `evaluate` runs `model` in training mode, with `model`'s loss."""

    def __init__(self, model):
        super().__init__()
        # What comes in is `model`'s to cast, which may have layers that want it whole.
        self.autocast = False
        self.inner = model

    def call(self, inputs):
        return self.inner(inputs, **training_of(self.inner.call))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=False
    ):
        mode = training_of(self.inner.compute_loss)
        return self.inner.compute_loss(x, y, y_pred, sample_weight, **mode)


def training_of(method):
    # As Keras does: `fit` sets the mode only of a method that takes it.
    takes_mode = "training" in inspect.signature(method).parameters
    return {"training": True} if takes_mode else {}


def variables_of(model):
    """Return whatever state a measurement may change."""
    parts = [
        *model.variables,
        # Those that a layer keeps past Keras too, such as the state of an RNN.
        *tf.train.TrackableView(model).descendants(),
        # The one that all of `keras.random` shares is no model's, and has no other name.
        *(
            part.state
            for part in get_objects()
            if issubclass(type(part), keras.random.SeedGenerator)
        ),
    ]
    # Only `fit` changes these, and they may be larger than the model.
    others = {id(variable) for variable in model.optimizer.variables}
    return [
        part
        for part in parts
        if isinstance(part, (keras.Variable, tf.Variable)) and id(part) not in others
    ]


@contextmanager
def unchanged(variables):
    values = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values):
            variable.assign(value)


def evaluate(model, data, batch_size, steps, mixed):
    x = data[0]
    if are_arrays(data):
        x = batches(data, batch_size, mixed)
        # Keras would warn of a generator that ends earlier than it is told.
        everything = math.ceil(length(data) / batch_size)
        steps = min(steps or everything, everything)
    results = model.evaluate(x, steps=steps, verbose=0, return_dict=True)
    if "loss" not in results:
        raise ValueError("the model's own test_step returns no 'loss'")
    return results["loss"]


def are_arrays(data):
    return all(hasattr(part, "shape") for part in tf.nest.flatten(data[0]))


def length(data):
    return len(tf.nest.flatten(data)[0])


def checked(data, steps, name=""):
    """Return `(x, y, sample_weight)` if all of it can be measured.

    Raises:
        ValueError: if it is empty, endless, or of unequal lengths.
    """
    if are_arrays(data):
        data = tf.nest.map_structure(as_array, data)
        lengths = {len(part) for part in tf.nest.flatten(data) if part is not None}
        if len(lengths) > 1:
            counts = " and ".join(map(str, sorted(lengths)))
            raise ValueError(
                f"LossGap: {name}x, y and sample_weight have {counts} "
                "entries: give as many of each"
            )
        if 0 in lengths:
            raise ValueError(f"LossGap: {name}x is empty: give training data")
    elif steps is None and is_endless(data[0]):
        raise ValueError(
            f"LossGap: {name}the data set may be endless: say with steps=... how many "
            "batches to measure"
        )
    return data


def as_array(part):
    if part is None:
        return None
    array = np.asarray(part)
    if array.shape != tuple(part.shape):
        raise ValueError(
            f"LossGap: a {type(part).__name__} cannot be read batch by batch: give a "
            "tf.data.Dataset of batches"
        )
    return array


def is_endless(data_set):
    if isinstance(data_set, tf.data.Dataset):
        return data_set.cardinality() == tf.data.INFINITE_CARDINALITY
    if isinstance(data_set, keras.utils.PyDataset):
        return data_set.num_batches is None
    return inspect.isgenerator(data_set)


def batches(data, batch_size, mixed):
    """Yield the arrays' batches in their order or, mixed, in one that never changes."""
    data = data if data[2] is not None else data[: 2 if data[1] is not None else 1]
    order = np.arange(length(data))
    if mixed:
        np.random.default_rng(0).shuffle(order)

    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield tf.nest.map_structure(partial(as_tensor, rows=rows), data)


def as_tensor(array, rows):
    tensor = tf.convert_to_tensor(array[rows])
    # As Keras does with the arrays that `fit` gets.
    floating = tensor.dtype.is_floating
    return tf.cast(tensor, keras.config.floatx()) if floating else tensor
