"""Which examples are measured: samples of arrays, or data sets."""

from inspect import isgenerator

import keras
import numpy as np
import tensorflow as tf


def samples(name, data, batch_size, steps):
    """Yield arguments for `model.evaluate`: a data set, or samples of the arrays."""

    def rows_of(array):
        array = array.numpy() if tf.is_tensor(array) else array
        return getattr(array, "iloc", array)[rows]  # pandas has iloc

    parts = zip(["x", "y", "sample_weight"], keras.utils.unpack_x_y_sample_weight(data))
    arguments = {key: part for key, part in parts if part is not None}
    if not all(hasattr(part, "shape") for part in tf.nest.flatten(arguments["x"])):
        if steps is None and may_be_endless(arguments["x"]):
            raise ValueError(f"LossGap: {name} may have no end: say steps=...")
        while True:
            yield {**arguments, "steps": steps}

    if batch_size is None:
        raise ValueError("LossGap: say the batch_size of `fit` (its default is 32)")
    lengths = sorted({array.shape[0] for array in tf.nest.flatten(arguments)})
    if len(lengths) > 1 or lengths == [0]:
        raise ValueError(f"LossGap: the arrays of {name} have {lengths} entries")
    # Sorted data would make batches, and a few of them, unlike the training data.
    order = np.random.default_rng(0).permutation(lengths[0])
    while True:
        rows = order[: steps and steps * batch_size]
        yield {**tf.nest.map_structure(rows_of, arguments), "batch_size": batch_size}
        order = np.roll(order, -len(rows))  # another sample for each epoch


def may_be_endless(data_set):
    if isinstance(data_set, tf.data.Dataset):
        return bool(data_set.cardinality() < 0)  # infinite or unknown
    return isgenerator(data_set) or getattr(data_set, "num_batches", 0) is None
