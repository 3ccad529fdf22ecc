"""Measure why the validation loss differs from the training loss."""

import inspect
import random
import warnings
from contextlib import contextmanager
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

# The losses, in their order. What one is above the next is a part of the gap; the last
# three are not of training data.
PARTS = {
    "loss": "timing",
    "fit_data_loss": "augmentation_and_weights",
    "training_mode_loss": "regularization",
    "batch_statistics_loss": "batch_normalization",
    "inference_mode_loss": "memorization",
    "held_out_loss": "data",
    "val_loss": "",
}

# What a model may override, so that it trains or validates otherwise than it is measured.
OWN = {
    name: getattr(keras.Model, name) for name in ("train_step", "test_step", "evaluate")
}


class BatchLosses(keras.callbacks.Callback):
    """Keeps the mean losses that Keras reports after each batch of an evaluation."""

    means = ()

    def on_test_begin(self, logs=None):
        self.means = []

    def on_test_batch_end(self, batch, logs=None):
        self.means.append(float(logs.get("loss", np.nan)))

    def losses(self):
        """The losses of the batches, shape `(batches,)`; their mean is the last mean.

        A smaller last batch is as near to the mean as it has less weight.
        """
        with np.errstate(invalid="ignore"):  # a loss may be infinite
            return np.diff(np.arange(1, len(self.means) + 1) * self.means, prepend=0)


class LossGap(BatchLosses):
    """Measure the loss after each epoch, in training mode and in inference mode.

    Keras reports a training loss that is averaged over the epoch, in training mode.
    This callback adds losses to its logs that are measured *after* the epoch:

    - `fit_data_loss`, only with `fit_data`: in training mode, on data that are
      augmented or weighted as `fit`'s are;
    - `training_mode_loss`: on the training data as they are, with dropout, and with
      each batch's own statistics in batch normalization;
    - `batch_statistics_loss`, only of a model with `keras.layers.BatchNormalization`:
      in inference mode, but for these layers, which are as in training mode;
    - `inference_mode_loss`: as `model.evaluate` and the validation compute it;
    - `held_out_loss`, only with `held_out`: the same on data that are like the
      training data, but never trained on.

    `gap.split_gap` tells from them how much of the gap each of its reasons explains.
    After the training, the `History` that `fit` returns has the standard error of each
    part in each epoch, too: `timing_error`, `regularization_error`, ...

    Example:

    ```python
    loss_gap = LossGap(x_train, y_train, batch_size=64, steps=100)
    history = model.fit(
        x_train,
        y_train,
        batch_size=64,
        validation_data=(x_val, y_val),
        callbacks=[loss_gap, keras.callbacks.CSVLogger("log.csv")],
    )
    print(table(history), in_words(history), sep="\\n")
    ```

    Callbacks that write or read logs, such as `CSVLogger` and `EarlyStopping`, see the
    losses only when they stand behind `LossGap`, as above.

    Args:
        x: the training data, prepared as the *validation* data are. Arrays of the shape
            `(n, ...)`, or dicts, lists or tuples of them, as for `fit`; or a data set
            (a `tf.data.Dataset`, `keras.utils.PyDataset` or generator) of batches as
            for `fit`, in mixed order, the same in each pass. A data set must be built
            anew from the source: `take`, `skip` or `map` of one that `fit` reads and
            that shuffles draw on its order, and so does an augmentation layer in both.
        y: the labels, as for `fit`; `None` if `x` has them.
        batch_size: examples in a batch, for arrays. It must be `fit`'s, as that of a
            data set must: batch normalization depends on it.
        sample_weight: as for `fit`, if the validation data are weighted like this, too.
        steps: batches to measure of each. Of arrays it is a random sample of all that
            is given, always the same; only this is copied. Needed for data sets
            of unknown length or without end. Defaults to `None`, all.
        held_out: `(x, y)`, `(x, y, sample_weight)` or a data set: from the same source
            as the training data, but never given to `fit`.
        fit_data: the same, if `fit` gets augmented or weighted training data: built
            like `fit`'s, with random numbers (a seed) and layers of its own: with
            `fit`'s the network has met that very noise. For `class_weight={0: 1.0,
            1: 5.0}`, `(x, y, np.array([1.0, 5.0])[y])`. Augmentation layers
            inside the model need none: they are regularization.

    Raises:
        ValueError: if the data are empty, of unequal lengths, perhaps endless without
            `steps`, or arrays without `batch_size`, and before the first epoch if the
            model has no loss. Data that do not fit the model raise Keras' error.

    What it does not do, or not always:

    - The training goes on as if nothing had been measured: variables, seeds of layers
      and the generators of NumPy and Python are put back, after errors and Ctrl-C too.
      Not so `keras.random` without a seed, `tf.random` in a model that runs eagerly,
      what layers keep in Python, a `tf.Variable` in a list or dict, the replicas' own
      moving averages, and what layers of an unbuilt model make and change in inference
      mode. A stateful RNN needs an unshuffled data set instead of arrays, and its
      training may differ in the last bits.
    - A `train_step`, `test_step` or `evaluate` of your own must compute what Keras'
      does; several replicas normalize parts of a batch: both get a warning. Undefined
      with `SwapEMAWeights`, which validates averaged weights. Other normalization than
      Keras' layer, or one that `fit` calls in both modes, is not told apart.
    - `validation_split`: split by hand, and give what `fit` trains on.
    - A loss that depends on the batch (RMSE, Dice): `validation_batch_size` must be
      `batch_size`, too. L1 and L2 penalties are in both losses: no part of the gap.
    - Errors are of sampling, from the losses of batches: `nan` of fewer than two, 6 %
      too small of eight. Data in sorted order have larger ones than they should. The
      part of the training data that is measured is a sample of the epoch's batches: if
      it is all, timing has none, though dropout leaves some luck.
    - `fit(epochs=1)` in a loop: join the histories, `{name: [value for history in
      histories for value in history.history[name]] for name in first.history}`.
    - It costs three to four passes over what is measured: 1,000 of 9,000 examples took
      10 to 20 % of an epoch, 5,000 took 40 to 75 %, and tracing 0.3 to 5 s per mode.
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
            raise ValueError(
                "LossGap: needs Keras on TensorFlow: KERAS_BACKEND says it"
            )

        def arguments(name, data):
            data = keras.utils.unpack_x_y_sample_weight(data)
            return evaluate_arguments(name, data, batch_size, steps)

        self.data = evaluate_arguments("x", (x, y, sample_weight), batch_size, steps)
        self.held_out = None if held_out is None else arguments("held_out", held_out)
        self.fit_data = None if fit_data is None else arguments("fit_data", fit_data)

    def on_train_begin(self, logs=None):
        self.errors = {}
        doubt = doubt_about(self.model)
        if doubt:
            warnings.warn(doubt, stacklevel=2)
        # One batch of each shows what does not fit, before an epoch is spent on it.
        # Inference mode comes first: it builds the model, under the names of `fit`.
        try:
            passes = self.passes_in_inference_mode()
            self.measure(passes, steps=1)
            other_passes = self.passes_in_other_modes()
            self.measure(other_passes, steps=1)
        except Exception as error:
            if doubt:
                raise ValueError(f"{doubt}; it cannot be measured") from error
            raise
        self.passes = {**other_passes, **passes}

    def passes_in_inference_mode(self):
        passes = {"inference_mode_loss": (self.model, self.data)}
        if self.held_out is not None:
            passes["held_out_loss"] = (self.model, self.held_out)
        return passes

    def passes_in_other_modes(self):
        normalization = BatchNormalizationModes(self.model)
        training_mode = OtherMode(self.model, normalization, training=True)
        passes = {"training_mode_loss": (training_mode, self.data)}
        if self.fit_data is not None:
            passes["fit_data_loss"] = (training_mode, self.fit_data)
        if normalization.layers:
            batch_statistics = OtherMode(self.model, normalization, training=False)
            passes["batch_statistics_loss"] = (batch_statistics, self.data)
        return passes

    def on_epoch_end(self, epoch, logs):
        batch_losses = {"val_loss": self.losses()}  # `fit` has just validated
        self.means = []
        logs.update(self.measure(self.passes, batch_losses=batch_losses))
        for part, error in self.standard_errors(batch_losses).items():
            self.errors.setdefault(f"{part}_error", []).append(error)

    def on_train_end(self, logs=None):
        for name, values in self.errors.items():
            self.model.history.history.setdefault(name, []).extend(values)

    def measure(self, passes, batch_losses=None, **steps):
        losses = {}
        for name, (model, data) in passes.items():
            batches = BatchLosses()
            with unchanged(self.model):
                results = model.evaluate(
                    **{**data, **steps},
                    verbose=0,
                    return_dict=True,
                    callbacks=[batches],
                )
            if "loss" not in results:
                raise ValueError(
                    "LossGap: there is no loss to measure: the data are empty, or the "
                    "model's own test_step returns no 'loss'"
                )
            losses[name] = results["loss"]
            if batch_losses is not None:
                batch_losses[name] = batches.losses()
        return losses

    def standard_errors(self, batch_losses):
        """The standard error of each part, from the losses of single batches."""
        steps = self.params.get("steps") or np.inf
        # Of finite training data a sample is measured, without replacement; what else
        # is measured stands for data without end.
        whole = dict.fromkeys(batch_losses, np.inf)
        for name, (_, data) in self.passes.items():
            if name != "held_out_loss" and not may_be_endless(data["x"]):
                whole[name] = steps

        names = [name for name in PARTS if name in batch_losses]
        first = batch_losses[names[0]]
        errors = {"timing": standard_error(first, whole[names[0]])}
        if whole[names[0]] == np.inf:  # then the epoch had another sample
            errors["timing"] *= np.sqrt(1 + len(first) / steps)
        for name, following in pairwise(names):
            upper, lower = batch_losses[name], batch_losses[following]
            same = {name, following} <= {*self.passes} - {"held_out_loss"}
            if same and len(upper) == len(lower):  # the same batches: paired
                error = standard_error(upper - lower, whole[name])
            else:
                error = np.hypot(
                    standard_error(upper, whole[name]),
                    standard_error(lower, whole[following]),
                )
            part = PARTS[name]
            if (name, following) == ("inference_mode_loss", "val_loss"):
                part = "memorization_and_data"
            errors[part] = float(error)
        return errors


def standard_error(losses, whole=np.inf):
    """The standard error of the mean of some batches, as a sample of `whole` batches.

    It is zero if they are all. Where they are more than `fit` has in an epoch, those of
    the epoch are the sample.
    """
    if len(losses) < 2:
        return np.nan
    with np.errstate(invalid="ignore", over="ignore"):
        deviation = np.std(losses, ddof=1)
    return float(deviation * np.sqrt(abs(1 / len(losses) - 1 / whole)))


def doubt_about(model):
    """Say why the parts of this model's gap may not be what they are called."""
    own = [name for name in OWN if getattr(type(model), name) is not OWN[name]]
    if own:
        return (
            f"LossGap: the model has its own {' and '.join(own)}: the parts of its gap "
            "hold only where this computes what Keras' own does"
        )
    replicas = model.distribute_strategy.num_replicas_in_sync
    normalizes = BatchNormalizationModes(model).layers
    if replicas > 1 and normalizes:
        return (
            f"LossGap: with {replicas} replicas batch normalization takes the "
            "statistics of a part of each batch: timing and batch normalization hold "
            "only where these are near to those of the whole batch"
        )
    return None


class OtherMode(keras.Model):
    """A model whose `evaluate` computes the loss of `model` in another mode.

    That is training mode or, with `training=False`, inference mode but for batch
    normalization, which is as it was in training mode. (The other way round, training
    mode with these layers frozen, charges what lagging averages do to dropout: tried,
    4.41 instead of 0.32.)
    """

    def __init__(self, model, normalization, training):
        super().__init__()
        self.inner = model
        self.normalization = normalization
        self.training = training
        self.mean = keras.metrics.Mean()
        self.compile(
            run_eagerly=model.run_eagerly,
            jit_compile=model.jit_compile,
            steps_per_execution=model.steps_per_execution,
        )

    def test_step(self, data):
        # As Keras' own, which would cast the inputs as this model's.
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        mode = mode_of(self.inner.call, self.training)
        if type(self.inner).train_step is not OWN["train_step"]:
            mode = {"training": self.training}  # Keras' layers take it from their model
        with self.normalization.in_training_mode(note=self.training):
            y_pred = self.inner(x, **mode)
        mode = mode_of(self.inner.compute_loss, self.training)
        loss = self.inner.compute_loss(x, y, y_pred, sample_weight, **mode)
        first = next(part for part in tf.nest.flatten(x) if part is not None)
        self.mean.update_state(loss, sample_weight=tf.shape(first)[0])
        return {"loss": self.mean.result()}


def mode_of(method, training):
    # As Keras does: `fit` sets the mode only of a method that takes it.
    takes_mode = "training" in inspect.signature(method).parameters
    return {"training": training} if takes_mode else {}


class BatchNormalizationModes:
    """The batch normalization layers of a model, and their modes in training mode.

    Not all are in training mode there: a model may call one with `training=False`.
    """

    def __init__(self, model):
        self.modes = {}
        # `model.layers` has no layers inside layers, and Keras no public name for them.
        self.layers = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
            and mode_of(layer.call, True)
        ]

    @contextmanager
    def in_training_mode(self, note):
        """Note the mode in which each layer is called, or set what was noted."""

        def replacement(layer, call):
            def call_in_mode(*args, training=None, **kwargs):
                if note:
                    self.modes[layer] = training
                return call(*args, training=self.modes.get(layer), **kwargs)

            return call_in_mode

        for layer in self.layers:
            layer.call = replacement(layer, layer.call)
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.call


@contextmanager
def unchanged(model):
    """Put the state that a measurement may change back afterwards."""
    # What Keras knows of, and what only TensorFlow does, such as the state of an RNN;
    # of a variable of Keras, the one of TensorFlow inside.
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
    arguments = dict(zip(["x", "y", "sample_weight"], data))
    if not all(hasattr(part, "shape") for part in tf.nest.flatten(arguments["x"])):
        if steps is None and may_be_endless(arguments["x"]):
            raise ValueError(
                f"LossGap: {name} may be endless: say with steps=... how many batches "
                "to measure"
            )
        return {**arguments, "steps": steps}

    if batch_size is None:
        raise ValueError("LossGap: say the batch_size of `fit` (its default is 32)")
    arrays = [array for array in tf.nest.flatten(arguments) if array is not None]
    lengths = sorted({array.shape[0] for array in arrays})
    if len(lengths) > 1 or lengths == [0]:
        raise ValueError(
            f"LossGap: the arrays of {name} have {' and '.join(map(str, lengths))} "
            "entries: give as many of each, and at least one"
        )
    # Sorted data would make batches, and a few of them, unlike the training data.
    order = np.random.default_rng(0).permutation(lengths[0])
    order = order[: steps and steps * batch_size]
    sample = tf.nest.map_structure(lambda array: rows_of(array, order), arguments)
    return {**sample, "batch_size": batch_size}


def rows_of(array, order):
    if array is None:
        return None
    if hasattr(array, "iloc"):  # pandas
        return array.iloc[order]
    return tf.gather(array, order) if tf.is_tensor(array) else array[order]


def may_be_endless(data_set):
    if isinstance(data_set, tf.data.Dataset):
        return bool(data_set.cardinality() < 0)  # infinite or unknown
    return inspect.isgenerator(data_set) or getattr(data_set, "num_batches", 0) is None
