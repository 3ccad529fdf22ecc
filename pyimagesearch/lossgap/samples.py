"""Which examples are measured: samples of arrays, or data sets as they are."""

import math
from inspect import isgenerator

import keras
import numpy as np
import tensorflow as tf


def source_of(name, data, batch_size, steps, mixed=True):
    """What draws samples of `data`, that is `(x, y)`, `(x, y, sample_weight)` or `x`.

    Args:
        name: what errors call it.
        batch_size: examples in a batch, of arrays.
        steps: batches to measure; all of them if None.
        mixed: whether the examples of arrays are mixed before they are cut into batches,
            as `fit` does unless it is told otherwise.

    Raises:
        ValueError: if it cannot be measured.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if are_arrays(x):
        return Arrays(name, x, y, sample_weight, batch_size, steps, mixed)
    return DataSet(name, x, y, sample_weight, steps)


def are_arrays(x):
    return all(hasattr(part, "shape") for part in keras.tree.flatten(x))


class Arrays:
    """Arrays, cut into batches: each epoch measures others, until all were measured.

    `batches` is how many there are in all.
    """

    def __init__(self, name, x, y, sample_weight, batch_size, steps, mixed):
        if batch_size is None:
            raise ValueError("LossGap: say the batch_size of `fit` (its default is 32)")
        self.data = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        arrays = [x for x in keras.tree.flatten(self.data) if x is not None]
        if any(isinstance(x, tf.SparseTensor) or hasattr(x, "tocsr") for x in arrays):
            raise ValueError(f"LossGap: {name} is sparse: give a data set of batches")
        lengths = sorted({int(array.shape[0]) for array in arrays})
        if len(lengths) > 1 or lengths == [0]:
            raise ValueError(f"LossGap: the arrays of {name} have {lengths} entries")
        (self.examples,) = lengths
        self.is_weighted = sample_weight is not None
        self.batch_size, self.steps = batch_size, steps
        self.batches = math.ceil(self.examples / batch_size)
        rows, self.order = np.arange(self.examples), np.arange(self.batches)
        # Sorted data would make batches, and a few of them, unlike the training data.
        np.random.default_rng(0).shuffle(rows if mixed else self.order)
        self.rows = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]

    def draw(self):
        """Arguments for `model.evaluate`: the next sample."""
        chosen = np.sort(self.order[: self.steps])  # the last may be a smaller batch
        self.order = np.roll(self.order, -len(chosen))
        self.sample = np.concatenate([self.rows[i] for i in chosen])
        return {"x": in_batches(self.part(), self.batch_size)}

    def size_of_batches(self):
        return min(self.batch_size, self.examples)

    def part(self, examples=None):
        """The first examples of the sample that was drawn last, as a data set."""
        rows = self.sample[:examples]
        data = keras.tree.map_structure(lambda array: take(array, rows), self.data)
        return tf.data.Dataset.from_tensor_slices(keras.tree.lists_to_tuples(data))


class DataSet:
    """A data set or a generator: its first `steps` batches, the same in each epoch.

    `batches` is how many there are in all: 0 if this is unknown, or there is no end.
    """

    def __init__(self, name, x, y, sample_weight, steps):
        if steps is None and may_be_endless(x):
            raise ValueError(f"LossGap: {name} may have no end: say steps=...")
        arguments = {"x": x, "y": y, "sample_weight": sample_weight, "steps": steps}
        self.arguments = {k: v for k, v in arguments.items() if v is not None}
        self.batches = number_of_batches(x)
        self.is_weighted = sample_weight is not None or is_weighted(x)

    def draw(self):
        """Arguments for `model.evaluate`."""
        return self.arguments

    def size_of_batches(self):
        """That of the first batch; None where reading it might use it up."""
        x = self.arguments["x"]
        if not isinstance(x, tf.data.Dataset):
            return None
        return int(keras.tree.flatten(next(iter(x)))[0].shape[0])

    def part(self, examples):
        """The first examples, as a data set."""
        return self.arguments["x"].unbatch().take(examples)


def take(array, rows):
    """Rows of an array, as Keras reads arrays: floats as its floatx."""
    if tf.is_tensor(array):
        taken = tf.gather(array, rows)
    elif hasattr(array, "iloc"):  # pandas', whose Series is a column
        taken = array.iloc[rows].to_numpy().reshape(len(rows), -1)
    else:
        taken = np.asarray(array)[rows]
    is_float = tf.as_dtype(taken.dtype).is_floating
    return tf.cast(taken, keras.config.floatx()) if is_float else taken


def in_batches(examples, batch_size):
    """Batches of a data set of examples, without tf.data's autotuning.

    There is nothing to tune here, and whoever drops an iterator waits until the thread
    of autotuning has slept: up to a minute, in TensorFlow 2.21.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return examples.batch(batch_size).prefetch(2).with_options(options)


def is_weighted(data_set):
    """Whether a data set has sample weights; None where only reading it would tell."""
    if isinstance(data_set, tf.data.Dataset):
        spec = data_set.element_spec
        return isinstance(spec, tuple) and len(spec) == 3
    return None


def number_of_batches(data_set):
    if isinstance(data_set, tf.data.Dataset):
        return max(0, int(data_set.cardinality()))
    return getattr(data_set, "num_batches", None) or 0


def may_be_endless(data_set):
    if isinstance(data_set, tf.data.Dataset):
        return int(data_set.cardinality()) < 0  # infinite or unknown
    return isgenerator(data_set) or getattr(data_set, "num_batches", 0) is None


def refuse_stateful_layers(model, sources):
    """Of batches in another order the state of an RNN is not that of `fit`."""
    layers = model._flatten_layers()
    are_stateful = any(getattr(layer, "stateful", False) for layer in layers)
    if are_stateful and any(isinstance(source, Arrays) for source in sources):
        raise ValueError("LossGap mixes arrays: for stateful=True give data sets")
