"""Measure why the validation loss differs from the training loss."""

import inspect
import math
from contextlib import contextmanager
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
        data = x, y, sample_weight
        self.data = data_set(data, batch_size, steps)
        self.mixed_data = data_set(data, batch_size, steps, mixed=True)
        self.held_out = None
        if held_out is not None:
            data = keras.utils.unpack_x_y_sample_weight(held_out)
            self.held_out = data_set(data, batch_size, steps, name="held_out: ")
        self.steps = steps

    def on_train_begin(self, logs=None):
        self.training_mode = TrainingMode(self.model)
        self.training_mode.compile(
            run_eagerly=self.model.run_eagerly, jit_compile=self.model.jit_compile
        )
        # One batch of each shows what does not fit, before an epoch is spent on it.
        try:
            self.measure({}, steps=1)
        except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"LossGap cannot measure this: {reason}") from error

    def on_epoch_end(self, epoch, logs):
        self.measure(logs, self.steps)

    def measure(self, logs, steps):
        variables = variables_of(self.model)

        def loss_of(model, data):
            with unchanged(variables):
                results = model.evaluate(data, steps=steps, verbose=0, return_dict=True)
            if "loss" not in results:
                raise ValueError("the model's own test_step returns no 'loss'")
            return results["loss"]

        logs["training_mode_loss"] = loss_of(self.training_mode, self.mixed_data)
        logs["inference_mode_loss"] = loss_of(self.model, self.data)
        if self.held_out is not None:
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
    others = {id(variable) for variable in getattr(model.optimizer, "variables", ())}
    return [
        part
        for part in parts
        if hasattr(part, "assign") and hasattr(part, "numpy") and id(part) not in others
    ]


@contextmanager
def unchanged(variables):
    values = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values):
            variable.assign(value)


def data_set(data, batch_size, steps, mixed=False, name=""):
    """Return what `model.evaluate` can read again and again.

    Args:
        data: `(x, y, sample_weight)`: arrays, or a data set and twice `None`.
        batch_size: examples in a batch of arrays.
        steps: batches that are wanted, or `None` for all.
        mixed: whether to read arrays in a mixed order, the same each time.
        name: what to call the data in an error.

    Raises:
        ValueError: if it is empty, endless, or of unequal lengths.
    """
    x, y, sample_weight = data
    if not all(hasattr(part, "shape") for part in tf.nest.flatten(x)):
        if y is not None or sample_weight is not None:
            raise ValueError(
                f"LossGap: {name}x is no array: y and sample_weight belong into the "
                "data set"
            )
        if steps is None and is_endless(x):
            raise ValueError(
                f"LossGap: {name}the data set may be endless: say with steps=... how "
                "many batches to measure"
            )
        # Keras may report the loss of no batches as 0.
        if isinstance(x, tf.data.Dataset) and not any(True for _ in x.take(1)):
            raise ValueError(
                f"LossGap: {name}the data set is empty: give training data"
            )
        return x

    # Several inputs may be a list, which a data set would take for one array.
    x, y = (tuple(part) if isinstance(part, list) else part for part in (x, y))
    arrays = (x,) if y is None else (x, y)
    arrays = arrays if sample_weight is None else (x, y, sample_weight)
    arrays = tf.nest.map_structure(as_array, arrays)
    flat_arrays = tf.nest.flatten(arrays)
    lengths = {len(array) for array in flat_arrays}
    if len(lengths) > 1:
        counts = " and ".join(map(str, sorted(lengths)))
        raise ValueError(
            f"LossGap: {name}x, y and sample_weight have {counts} entries: give as many "
            "of each"
        )
    order = np.arange(*lengths)
    if len(order) == 0:
        raise ValueError(f"LossGap: {name}x is empty: give training data")
    if mixed:
        np.random.default_rng(0).shuffle(order)

    # Keras casts the arrays that `fit` gets like this.
    dtypes = [
        tf.as_dtype(keras.config.floatx() if array.dtype.kind == "f" else array.dtype)
        for array in flat_arrays
    ]

    def read(index):
        rows = order[index * batch_size : (index + 1) * batch_size]
        return [
            array[rows].astype(dtype.as_numpy_dtype)
            for array, dtype in zip(flat_arrays, dtypes)
        ]

    def batch(index):
        parts = tf.numpy_function(read, [index], dtypes)
        for part, array in zip(parts, flat_arrays):
            part.set_shape((None, *array.shape[1:]))
        return tf.nest.pack_sequence_as(arrays, parts)

    count = math.ceil(len(order) / batch_size)
    return tf.data.Dataset.range(count).map(batch).prefetch(1)


def as_array(part):
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
        # Keras 3.0 has no endless ones, and no such attribute.
        return getattr(data_set, "num_batches", 0) is None
    return inspect.isgenerator(data_set)
