"""Measure why the validation loss differs from the training loss."""

import random
import warnings
from contextlib import contextmanager
from functools import partial
from inspect import isgenerator, signature
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

# What each loss is above the next one that is measured (in the end, `val_loss`).
PARTS = {
    "fit_data_loss": "augmentation_and_weights",
    "training_mode_loss": "regularization",
    "batch_statistics_loss": "batch_normalization",
    "inference_mode_loss": "memorization",
    "held_out_loss": "data",
}


class RunningMeans(keras.callbacks.Callback):
    """Keeps the mean loss of an evaluation, as Keras has it after each batch."""

    def on_test_begin(self, logs=None):
        self.means = []

    def on_test_batch_end(self, batch, logs=None):
        self.means.append(float(logs.get("loss", np.nan)))


class LossGap(RunningMeans):  # it sees `fit`'s validation
    """Measure the loss after each epoch, in training mode and in inference mode.

    Keras' training loss is an average over the epoch, in training mode. This callback
    adds losses to the logs that are measured *after* the epoch:

    - `fit_data_loss`, only with `fit_data`: in training mode, on such data;
    - `training_mode_loss`: on the training data, with dropout, and with each batch's
      own statistics in batch normalization;
    - `batch_statistics_loss`, only with `keras.layers.BatchNormalization`: in inference
      mode, but for these layers, which are as in training mode;
    - `inference_mode_loss`: as `model.evaluate` and the validation compute it;
    - `held_out_loss`, only with `held_out`: the same on data never trained on.

    `gap.split_gap` tells from them how much of the gap each reason explains. The
    `History` that `fit` returns also has each part's standard errors (`timing_error`).

    Example:
    ```python
    loss_gap = LossGap(x_train, y_train, batch_size=64, steps=100)
    history = model.fit(
        x_train, y_train, batch_size=64, validation_data=(x_val, y_val),
        callbacks=[loss_gap, CSVLogger("log.csv")],  # what uses logs is behind it
    )
    print(split_gap(history))
    ```

    Args:
        x: the training data, prepared as the *validation* data are. Arrays of the shape
            `(n, ...)`, or dicts, lists or tuples of them; or a data set (`tf.data`,
            `PyDataset`, generator) with `fit`'s batches, mixed, the same in each pass.
        y: the labels, as for `fit`; `None` if `x` has them.
        batch_size: examples in a batch of arrays. It must be `fit`'s, and so must a
            data set's: batch normalization depends on it.
        sample_weight: weights, if the validation data have such weights, too.
        steps: batches to measure of each (default: all; needed where a data set's end
            is unknown). Of arrays a random sample, always the same; only it is copied.
        held_out: `(x, y)`, `(x, y, sample_weight)` or a data set: from the same source
            as the training data, but never given to `fit`.
        fit_data: the same, but built as `fit`'s, if that is augmented or weighted, with
            a seed of its own: `fit`'s noise is known to the network. For
            `class_weight={0: 1.0, 1: 5.0}`, `(x, y, np.array([1.0, 5.0])[y])`.
            Augmentation layers inside the model need none: they are regularization.

    Raises:
        ValueError: what cannot be measured, before the first epoch.

    Limits:
    - The training goes on as if nothing had been measured: variables, seeds of layers,
      NumPy's and Python's generators are put back, after errors and Ctrl-C too. Not so
      `keras.random` without a seed, `tf.random` in an eager model, a `tf.Variable` in a
      list, what layers keep in Python or, not built yet, change in inference mode, and
      moving averages of single replicas. A stateful RNN needs an unshuffled data set,
      not arrays, and may differ in the last bits.
    - A data set must be built anew from the source, with its own augmentation layers:
      `take`, `skip` or `map` of one that `fit` reads and that shuffles disturb it.
    - A `train_step`, `test_step` or `evaluate` of your own, and replicas with batch
      normalization, get a warning. `SwapEMAWeights` makes the parts undefined, a batch
      normalization in both modes its own; another than Keras' is regularization.
    - With `validation_split`: split by hand, and give what `fit` trains on.
    - Where a loss depends on the batch (RMSE, Dice), `validation_batch_size` must be
      `batch_size`. L1 and L2 penalties are in both losses: no part of the gap.
    - Errors are of sampling: `nan` of fewer than two batches, 6 % too small of eight,
      too large of sorted data; timing's is 0 of all training data, but for dropout.
    - `fit(epochs=1)` in a loop: join the lists of the histories, name by name.
    - It costs three to four passes over what is measured: 1,000 of 9,000 examples took
      10 to 20 % of an epoch, 5,000 took 40 to 75 %; tracing each mode, 0.3 to 5 s.
    """

    def __init__(
        self,
        x,
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
        data = {"x": (x, y, sample_weight), "held_out": held_out, "fit_data": fit_data}
        self.data = {}
        for name, value in data.items():
            if value is not None:
                self.data[name] = evaluate_arguments(name, value, batch_size, steps)

    def on_train_begin(self, logs=None):
        self.means, self.history = [], self.model.history.history  # that of `fit`
        doubt = doubt_about(self.model)
        if doubt:
            warnings.warn(doubt, stacklevel=2)
        try:
            # Inference mode is first: it builds the model, under the names of `fit`.
            self.passes = {"inference_mode_loss": (self.model, "x")}
            self.measure(steps=1)
            normalization = BatchNormalizationModes(self.model)
            training = OtherMode(self.model, normalization, training=True)
            statistics = OtherMode(self.model, normalization, training=False)
            models = [training, training, statistics, self.model, self.model]
            data = ["fit_data", "x", "x", "x", "held_out"]
            passes = zip(PARTS, models, data)
            self.passes = {n: (model, d) for n, model, d in passes if d in self.data}
            if not normalization.layers:
                del self.passes["batch_statistics_loss"]
            # A batch of each shows what does not fit, before an epoch is spent on it.
            self.measure(steps=1)
        except Exception as error:
            if doubt:
                raise ValueError(f"{doubt}; here it cannot be measured") from error
            raise

    def on_epoch_end(self, epoch, logs):
        losses, means = self.measure()
        logs.update(losses)
        # Not among the logs: Keras' line for each epoch is long enough.
        for part, error in self.standard_errors(means).items():
            self.history.setdefault(f"{part}_error", []).append(error)

    def measure(self, **steps):
        losses, means = {}, {}
        for name, (model, data) in self.passes.items():
            running = RunningMeans()
            arguments = {**self.data[data], **steps, "callbacks": [running]}
            with unchanged(self.model):
                results = model.evaluate(**arguments, verbose=0, return_dict=True)
            if "loss" not in results:
                raise ValueError("LossGap: no loss was measured: are the data empty?")
            losses[name], means[name] = results["loss"], running.means
        return losses, means

    def standard_errors(self, means):
        """The standard error of each part, from the losses of single batches."""
        steps = self.params["steps"] or np.inf  # unknown, if `fit` has a generator
        steps = np.ceil(steps / self.model.steps_per_execution)  # one mean is kept each
        finite = {
            name
            for name, (_, data) in self.passes.items()
            if (data == "x" and not may_be_endless(self.data["x"]["x"]))
            or (data == "fit_data" and "batch_size" in self.data[data])  # arrays
        }

        def error(name, losses, otherwise=0):
            if len(losses) < 2:
                return np.nan
            # Finite data are measured without replacement: a part of what `fit` has, or
            # the other way round. Of others (endless, noisy) the epoch had another one.
            share = 1 / len(losses) + (-1 if name in finite else otherwise) / steps
            return float(np.std(losses, ddof=1) * np.sqrt(abs(share)))

        # As if of one size, which brings a smaller last batch nearer to the mean.
        losses = {}
        for name, kept in {**means, "val_loss": self.means}.items():
            kept = np.where(np.isfinite(kept), kept, np.nan)
            losses[name] = np.diff(kept * np.arange(1, len(kept) + 1), prepend=0)
        first = next(iter(losses))
        errors = {"timing": error(first, losses[first], otherwise=1)}
        for name, following in pairwise(losses):
            upper, lower = losses[name], losses[following]
            if following in ("held_out_loss", "val_loss") or len(upper) != len(lower):
                both = error(name, upper), error(following, lower)
                errors[PARTS[name]] = float(np.hypot(*both))
            else:  # the same batches: their differences
                errors[PARTS[name]] = error(name, upper - lower)
        if "held_out_loss" not in losses:
            errors["memorization_and_data"] = errors.pop("memorization")
        return errors


def doubt_about(model):
    """Say why the parts of a model's gap may not be what they are called."""
    names = ["train_step", "test_step", "evaluate"]
    doubts = [f"a {name} of its own" for name in names if overrides(model, name)]
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas > 1 and BatchNormalizationModes(model).layers:
        doubts.append(f"batch normalization in {replicas} replicas")
    return doubts and (
        f"LossGap: the model has {' and '.join(doubts)}: the parts of its gap hold "
        "only where that computes what Keras' own does, and does on whole batches"
    )


def overrides(model, name):
    return getattr(type(model), name) is not getattr(keras.Model, name)


class OtherMode(keras.Model):
    """A model whose `evaluate` computes the loss of `model` in another mode.

    That is training mode or, with `training=False`, inference mode but for batch
    normalization, which is as it was in training mode. (To freeze it in training mode
    instead would charge lagging averages to dropout: tried, 4.41 instead of 0.32.)
    """

    def __init__(self, model, normalization, training):
        super().__init__()
        self.inner = model
        self.normalization = normalization
        self.training = training
        self.mean = keras.metrics.Mean()
        self.compile(run_eagerly=model.run_eagerly, jit_compile=model.jit_compile)
        self.steps_per_execution = model.steps_per_execution

    def test_step(self, data):
        # As Keras' own, which would cast the inputs as this model's.
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        mode = mode_of(self.inner.call, self.training)
        if overrides(self.inner, "train_step"):
            mode = {"training": self.training}  # Keras' layers take it from their model
        with self.normalization.in_training_mode(note=self.training):
            y_pred = self.inner(x, **mode)
        mode = mode_of(self.inner.compute_loss, self.training)
        loss = self.inner.compute_loss(x, y, y_pred, sample_weight, **mode)
        self.mean.update_state(loss, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0])
        return {"loss": self.mean.result()}


def mode_of(method, training):
    # As Keras does: `fit` sets the mode only of a method that takes it.
    return {"training": training} if "training" in signature(method).parameters else {}


class BatchNormalizationModes:
    """The batch normalization layers of a model, and their modes in training mode."""

    def __init__(self, model):
        self.modes = {}
        kind = keras.layers.BatchNormalization
        # `model.layers` has no layers inside layers, and Keras no public name for them.
        self.layers = [x for x in model._flatten_layers() if isinstance(x, kind)]

    @contextmanager
    def in_training_mode(self, note):
        """Note the mode in which each is called (it may be frozen), or set it."""

        def call_in_mode(layer, call, *args, training=None, **kwargs):
            if note:
                self.modes[layer] = training
            return call(*args, **kwargs, **mode_of(call, self.modes.get(layer)))

        for layer in self.layers:
            layer.call = partial(call_in_mode, layer, layer.call)
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.call


@contextmanager
def unchanged(model):
    """Put the state that a measurement may change back afterwards."""
    # What Keras knows of, and what only TensorFlow does, such as the state of an RNN.
    parts = [*model.variables, *tf.train.TrackableView(model).descendants()]
    parts = [part for part in parts if hasattr(part, "numpy")]
    parts = [part if isinstance(part, tf.Variable) else part.value for part in parts]
    variables = {id(part): part for part in parts}
    # Only `fit` changes the optimizer's, and they may be larger than the model.
    for variable in model.optimizer.variables:
        variables.pop(id(variable.value), None)
    values = [tf.identity(variable) for variable in variables.values()]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        for variable, value in zip(variables.values(), values):
            variable.assign(value)


def evaluate_arguments(name, data, batch_size, steps):
    """Return arguments for `model.evaluate`: a data set, or a sample of the arrays."""

    def rows_of(array):
        if tf.is_tensor(array):
            return tf.gather(array, order)
        return getattr(array, "iloc", array)[order]  # pandas has iloc

    parts = zip(["x", "y", "sample_weight"], keras.utils.unpack_x_y_sample_weight(data))
    arguments = {key: part for key, part in parts if part is not None}
    if not all(hasattr(part, "shape") for part in tf.nest.flatten(arguments["x"])):
        if steps is None and may_be_endless(arguments["x"]):
            raise ValueError(f"LossGap: {name} may have no end: say steps=...")
        return {**arguments, "steps": steps}

    if batch_size is None:
        raise ValueError("LossGap: say the batch_size of `fit` (its default is 32)")
    lengths = sorted({array.shape[0] for array in tf.nest.flatten(arguments)})
    if len(lengths) > 1 or lengths == [0]:
        raise ValueError(f"LossGap: the arrays of {name} have {lengths} entries")
    # Sorted data would make batches, and a few of them, unlike the training data.
    order = np.random.default_rng(0).permutation(lengths[0])
    order = order[: steps and steps * batch_size]
    return {**tf.nest.map_structure(rows_of, arguments), "batch_size": batch_size}


def may_be_endless(data_set):
    if isinstance(data_set, tf.data.Dataset):
        return bool(data_set.cardinality() < 0)  # infinite or unknown
    return isgenerator(data_set) or getattr(data_set, "num_batches", 0) is None
