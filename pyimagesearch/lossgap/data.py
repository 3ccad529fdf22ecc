"""Samples of batches to measure, and what LossGap was given, of which one is read."""

import keras
import numpy as np
import tensorflow as tf


def is_present(part):
    """Whether a part of a batch, or its spec, is not None, as Keras marks it, too."""
    absent = (tf.experimental.Optional, tf.OptionalSpec)
    return part is not None and not isinstance(part, absent)


def tensors_of(batch):
    """The tensors of a batch, or their specs, without what is None."""
    return [part for part in tf.nest.flatten(batch) if is_present(part)]


def untuned(data_set):
    """The data set without tf.data's autotuning, as are all that are made of it.

    There is nothing to tune here, and whoever drops an iterator waits until the thread
    of autotuning has slept: up to a minute, in TensorFlow 2.21.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data_set.with_options(options)


class Sample:
    """A sample of the batches of a data set, which is measured.

    Attributes:
        kept: the tensors of each batch.
        data: a data set of these batches, the same in each pass.
        unweighted: the same without their sample weights.
        share: what they are of all that there are, `n / N`; 0 where that is unknown.
    """

    def __init__(self, element_spec):
        self.element_spec, self.kept, self.share = element_spec, [], 0.0
        sample_weight = keras.utils.unpack_x_y_sample_weight(element_spec)[2]
        self.is_weighted = bool(tensors_of(sample_weight))
        specs = tuple(tensors_of(element_spec))
        # Made once: each data set of a Python generator keeps its last batches for ever.
        kept = tf.data.Dataset.from_generator(self.copies, output_signature=specs)
        self.data = self.unweighted = untuned(kept.map(self.in_structure))
        if self.is_weighted:
            self.unweighted = self.data.map(lambda x, y, sample_weight: (x, y))

    def copies(self):
        """Copies of the batches, as TensorFlow computes in place with what it is given.

        Without them each pass of a model with several replicas would change the next.
        """
        for tensors in self.kept:
            yield tf.nest.map_structure(
                lambda part: tf.constant(np.copy(part)), tensors, expand_composites=True
            )

    def in_structure(self, *tensors):
        """The batch, `(x, y, sample_weight)` or less, of which these are the tensors."""
        tensors = iter(tensors)
        parts = tf.nest.flatten(self.element_spec)
        parts = [next(tensors) if is_present(part) else None for part in parts]
        batch = tf.nest.pack_sequence_as(self.element_spec, parts)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)


class Given(Sample):
    """What LossGap was given: a sample of it is read after each epoch.

    These are other `steps` batches of `batch_size` from arrays, `(x, y)` or `(x, y,
    sample_weight)`, or the first ones of a data set (`tf.data`, or Keras' `PyDataset`).
    """

    def __init__(self, name, data, batch_size, steps):
        if isinstance(data, keras.utils.PyDataset):
            data = of_py_dataset(data)
        elif not isinstance(data, tf.data.Dataset):
            data = of_arrays(name, data, batch_size)
        super().__init__(data.element_spec)
        self.name, self.all, self.steps = name, untuned(data), steps
        self.batches = int(data.cardinality())
        if self.batches == tf.data.INFINITE_CARDINALITY and steps is None:
            raise ValueError(f"LossGap: {name} has no end: give steps")

    def read(self, steps=None):
        """Read so many batches, or as many as there shall be."""
        some = self.all.take(steps or self.steps or -1)
        self.kept = [tuple(tensors_of(batch)) for batch in some]
        # The draws of `fit_data` have no end.
        if self.batches > 0 and self.name != "fit_data":
            self.share = len(self.kept) / self.batches


def of_py_dataset(data):
    def batch(i):
        # tf.data takes neither lists nor None for parts of a batch.
        parts = keras.utils.unpack_x_y_sample_weight(data[i])
        return keras.tree.lists_to_tuples(keras.utils.pack_x_y_sample_weight(*parts))

    # But for the number of examples, all batches have the shapes of the first.
    specs = tf.data.Dataset.from_tensor_slices(batch(0)).batch(1).element_spec
    batches = tf.data.Dataset.from_generator(
        lambda: map(batch, range(data.num_batches)), output_signature=specs
    )
    cardinality = tf.data.experimental.assert_cardinality(data.num_batches)
    return batches.apply(cardinality)


def of_arrays(name, data, batch_size):
    parts = [part for part in keras.tree.flatten(data) if part is not None]
    if not isinstance(data, tuple) or not all(hasattr(x, "shape") for x in parts):
        raise ValueError(f"LossGap: {name} is neither (x, y) of arrays nor a data set")
    data = keras.utils.pack_x_y_sample_weight(*data)
    arrays = keras.tree.lists_to_tuples(keras.tree.map_structure(as_fit_reads, data))
    lengths = sorted({int(array.shape[0]) for array in tf.nest.flatten(arrays)})
    if len(lengths) != 1 or lengths == [0]:
        raise ValueError(f"LossGap: the arrays of {name} have {lengths} entries")
    # Sorted data would make a few batches unlike all of them.
    examples = tf.data.Dataset.from_tensor_slices(arrays)
    return examples.shuffle(lengths[0], seed=0).batch(batch_size)


def as_fit_reads(array):
    """An array as Keras reads it: floats as its floatx, a Series of pandas' as a column."""
    if hasattr(array, "iloc"):
        array = array.to_numpy().reshape(len(array), -1)
    array = tf.convert_to_tensor(array)
    is_float = array.dtype.is_floating
    return tf.cast(array, keras.config.floatx()) if is_float else array
