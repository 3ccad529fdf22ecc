"""LossGap: what happens at each of `fit`'s calls, and in which order."""

import keras
import numpy as np

from .batch_size import BatchSizes
from .epoch import Epoch
from .modes import warn_of_own_steps
from .passes import Pass, measure, passes_of, warn_of_other_batches
from .samples import refuse_stateful_layers, source_of
from .stack import warn
from .told import NO_VALIDATION, Told

AS_FIT = (
    "give no x, where `fit` has arrays; or x, batch_size and sample_weight as `fit` and the "
    "validation have them, and as fit_data what is weighted or more for `fit` alone"
)
OTHER_WEIGHTS = "`fit` validated other weights, whose gap this is not"
FIRST = "put LossGap before all other callbacks, and do without SwapEMAWeights"


class LossGap(keras.callbacks.Callback):
    """Measure loss and metrics after each epoch, in training and in inference mode.

    Keras' training loss is an average over the epoch, in training mode. This callback
    adds losses to the logs that are measured *after* the epoch:

    - `fit_data_loss`, in training mode, on data as `fit` augments or weights them, if so;
    - `training_mode_loss`: with dropout, and with each batch's own statistics;
    - `batch_statistics_loss`, only with `keras.layers.BatchNormalization`: in inference
      mode, but for these layers, which are as in training mode;
    - `inference_mode_loss`: as `model.evaluate` and the validation compute it;
    - `held_out_loss`, only with `held_out`: the same on data never trained on.

    The `History` that `fit` returns has the same of each metric that is one number
    (`training_mode_accuracy`), and standard errors (`timing_error`; `nan` if unknown).

    Example:
    ```python
    history = model.fit(x_train, y_train, validation_data=(x_val, y_val), epochs=3,
                        callbacks=[LossGap(steps=150), CSVLogger("log.csv")])
    print(in_words(history), in_words(history, "accuracy"), sep="\n")
    ```
    It stands first: others see what it measures, and have not changed the weights.

    Args:
        x: the training data; by default `fit`'s own, with its batch size, order and
            weights. Only if `fit` has a data set or a generator: the same examples, but
            prepared as for the *validation*. Arrays of the shape `(n, ...)`, or dicts,
            lists or tuples of them; or a data set with the same batches in each pass,
            built anew, as reading that of `fit` changes its order.
        y: the labels, as for `fit`; `None` if `x` has them.
        batch_size: examples in a batch of arrays: `fit`'s.
        sample_weight: weights, if the validation data have such weights, too.
        steps: batches to measure of each (default: all); of arrays, others each epoch.
        held_out: `(x, y)`, `(x, y, sample_weight)` or a data set: from the same source
            as the training data, but never given to `fit`.
        fit_data: the training data once more, as `fit` augments or weights them; with a
            seed of its own, as the network knows `fit`'s noise. (Augmentation layers
            inside the model are regularization.)

    Limits:
    - Nothing is changed in the training, but for `keras.random` without a seed,
      `tf.random` in an eager model, what layers keep in Python, and the order of a
      validation data set that shuffles, if there is an AUC or the like.
    - Layers of `keras.random` that are on in both modes: timing's error lacks their luck.
    - Penalties (L1, L2) are in both losses: only how they change is in a part, timing.
    - `BatchNormalization(renorm=True)` uses moving averages in training mode, too.
    - `EarlyStopping("inference_mode_loss")` needs `mode="min"`.
    - `fit(epochs=1)` in a loop gives a history each: join their lists, name by name.
    """

    async_safe = True  # Keras may call it late for a batch: each has its own place

    def __init__(
        self,
        x=None,
        y=None,
        batch_size=None,
        sample_weight=None,
        steps=None,
        held_out=None,
        fit_data=None,
    ):
        super().__init__()
        if keras.config.backend() != "tensorflow":
            raise ValueError("LossGap needs Keras on TensorFlow (KERAS_BACKEND)")
        x = None if x is None else (x, y, sample_weight)
        given = {"x": x, "held_out": held_out, "fit_data": fit_data}
        self.given = {name: data for name, data in given.items() if data is not None}
        self.batch_size, self.steps = batch_size, steps

    def on_train_begin(self, logs=None):
        self.history = self.model.history.history  # that of `fit`
        self.told = Told(self.model)
        self.sources = self.sources_to_measure()
        self.samples = {}
        self.on_epoch_begin(0)  # a first sample, to try
        warn_of_own_steps(self.model)
        self.prepare_passes()
        self.batch_sizes = BatchSizes(self.model, self.sources["x"], self.told)
        self.weights, self.has_warned_of = None, set()
        self.warn_of_differences(self.params.get("steps"))

    def sources_to_measure(self):
        """What draws samples of the data that were given, or else of `fit`'s."""
        told, data = self.told, self.given
        if "x" not in data:
            data = told.data_to_measure() | data
        size, mixed = self.batch_size or told.batch_size(), told.order_is_mixed()
        sources = {}
        for name in data:
            # Of held-out data no pass is in training mode, where the order counts.
            is_mixed = mixed or name == "held_out"
            sources[name] = source_of(name, data[name], size, self.steps, is_mixed)
        refuse_stateful_layers(self.model, sources.values())
        return sources

    def prepare_passes(self):
        """Make the passes, and try a batch of each, before an epoch is spent on it."""
        # The model itself is first: `fit` would build it, and name its variables so.
        inference = [Pass("inference_mode", self.model, "x")]
        first_try = measure(self.model, inference, self.samples, steps=1)
        if first_try["inference_mode"].from_sums:
            self.samples |= self.told.validation_to_measure()
        self.passes = passes_of(self.model, self.samples)
        second_try = measure(self.model, self.passes, self.samples, steps=1)
        warn_of_other_batches(first_try, second_try)

    def on_epoch_begin(self, epoch, logs=None):
        self.samples |= {name: source.draw() for name, source in self.sources.items()}
        self.epoch = Epoch(self.sources, self.model.steps_per_execution)

    def on_train_batch_end(self, batch, logs=None):
        self.epoch.training[batch] = logs

    def on_test_batch_begin(self, batch, logs=None):
        if batch == 0:
            self.epoch.validation = {}
            self.weights = sums_of_weights(self.model)
        self.batch_sizes.look_at_validation(batch)

    def on_test_batch_end(self, batch, logs=None):
        self.epoch.validation[batch] = logs

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" not in logs:
            raise ValueError(NO_VALIDATION)
        if not self.params.get("steps"):  # Keras did not know them: they are counted
            self.warn_of_differences(len(self.epoch.training))
        self.warn_of_other_weights()
        self.batch_sizes.look_at_validation(len(self.epoch.validation))
        self.epoch.measured = measure(self.model, self.passes, self.samples)
        self.batch_sizes.compare()
        for metric in [name for name in logs if f"val_{name}" in logs]:
            values = self.epoch.values(metric)
            if not all(map(np.isscalar, [logs[metric], *values.values()])):
                continue  # an F1 score of each class, for example
            batches, differs = self.epoch.batches(metric), self.batch_sizes.differ
            record = self.epoch.errors(metric, batches, metric in differs)
            if "x" in self.given:  # which may not be the data of `fit`
                record |= self.epoch.first_batches(metric, batches)
            # Only the losses are logged: Keras' line for each epoch is long enough.
            if metric == "loss":
                logs.update(values)
            else:
                record |= values
            for name, value in record.items():
                self.history.setdefault(name, []).append(float(value))

    def warn_of_differences(self, batches_of_fit):
        """Say where the data that were given are not what `fit` was told."""
        has_fit_data, x = "fit_data" in self.given, self.sources["x"]
        if "x" in self.given and self.told.arguments:
            found = self.told.differences(x, has_fit_data, batches_of_fit)
            self.warn_once("; ".join(found), AS_FIT)

    def warn_of_other_weights(self):
        weights = sums_of_weights(self.model)
        if self.weights and not np.array_equal(self.weights, weights, equal_nan=True):
            self.warn_once(OTHER_WEIGHTS, FIRST)

    def warn_once(self, what, advice):
        if what and what not in self.has_warned_of:
            self.has_warned_of.add(what)
            warn(f"{what}: {advice}")


def sums_of_weights(model):
    return [np.sum(x) for x in model.get_weights()]
