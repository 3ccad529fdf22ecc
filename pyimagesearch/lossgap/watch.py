"""Watches the batches of `fit` as they go by, and keeps a random sample of each epoch's.

Keras has no public way to do so. What is private here are some attributes of the
iterator over the batches, which Keras 3.5 to 3.15 have.
"""

import math
from collections import defaultdict

import keras
import numpy as np
import tensorflow as tf

from .data import Sample, tensors_of


class Watch(Sample):
    """The sample of an epoch's batches of `fit`, or of its validation.

    The data set of Keras' `epoch_iterator`, which has not been iterated yet, gets a last
    stage that only looks. Of an epoch it keeps `steps` batches, all equally likely, or all.

    Attributes:
        epoch: the number of the running epoch, which the callback sets.
        batches: how many it had, `N`, when `take` chose those that are `kept`.
        batch_size: examples in the first batch of an iterator.
    """

    def __init__(self, epoch_iterator, model, steps):
        try:
            steps_per_epoch = epoch_iterator.steps_per_epoch
            at_once = epoch_iterator.steps_per_execution
            data_set = epoch_iterator._distributed_dataset
            if not isinstance(data_set, tf.data.Dataset):
                data_set = epoch_iterator.data_adapter.get_tf_dataset()
        except AttributeError as error:
            raise RuntimeError(
                f"LossGap cannot watch the batches of Keras {keras.__version__}: {error}"
            ) from error
        if getattr(epoch_iterator, "_current_iterator", None) is not None:
            raise RuntimeError(
                f"LossGap: Keras {keras.__version__} reads the data of a strategy before "
                "they can be watched: give no steps, or use a newer Keras"
            )
        if not isinstance(data_set, tf.data.Dataset):
            raise TypeError("LossGap: give `fit` the data set before it is distributed")
        # Keras has whole executions, of several steps.
        executions = math.ceil((steps_per_epoch or 0) / at_once)
        self.steps_per_epoch = executions * at_once
        super().__init__(data_set.element_spec)
        self.epoch = self.first_epoch = 0
        rng = np.random.default_rng(0)  # of its own, so that no other is changed
        size = math.inf if steps is None else steps
        self.reservoirs = defaultdict(lambda: Reservoir(size, rng))
        watched = data_set.enumerate().map(self.look_at)
        strategy = model.distribute_strategy
        distributed = strategy.experimental_distribute_dataset(watched)
        epoch_iterator._distributed_dataset = distributed

    def look_at(self, number, batch):
        """Let a batch pass by: the last stage of the data set."""
        tf.py_function(self.keep, [number, *tensors_of(batch)], [])
        return batch

    def keep(self, number, *tensors):
        """Add a batch to the sample of the epoch that it belongs to.

        With `steps_per_epoch` one iterator may serve all epochs, and reads ahead.
        """
        number = int(number)
        if number == 0:  # a new iterator
            self.first_epoch = self.epoch
            self.reservoirs.clear()
            self.batch_size = int(tensors[0].shape[0])
        epochs = number // self.steps_per_epoch if self.steps_per_epoch else 0
        self.reservoirs[self.first_epoch + epochs].add(tensors)

    def take(self, most):
        """Choose the sample of the running epoch, of its first `most` batches.

        More than `fit` had may have been read ahead.
        """
        reservoir = self.reservoirs[self.epoch]
        places = sorted(reservoir.places.values(), key=lambda place: place[0])
        self.kept = [tensors for number, tensors in places if number < most]
        self.batches = min(most, reservoir.seen)
        self.share = len(self.kept) / self.batches

    def batches_kept(self):
        """The batches that `take` has chosen: `(x, y)`, without labels `(x, None)`."""
        batches = (self.in_structure(*tensors) for tensors in self.kept)
        return [keras.utils.unpack_x_y_sample_weight(batch)[:2] for batch in batches]

    def let_go(self):
        """Forget the batches of the running epoch, and of those before it."""
        self.kept = []
        for epoch in list(self.reservoirs):  # to which a reader may add
            if epoch <= self.epoch:
                del self.reservoirs[epoch]


class Reservoir:
    """A random sample of all that was added, with each one's number.

    Source: Vitter, Random Sampling with a Reservoir, 1985, algorithm R.
    """

    def __init__(self, size, rng):
        self.size, self.rng = size, rng
        self.places, self.seen = {}, 0

    def add(self, item):
        place = self.seen
        if place >= self.size:
            place = self.rng.integers(place + 1)
        if place < self.size:
            self.places[place] = self.seen, item
        self.seen += 1
