"""Measure why the validation loss differs from the training loss."""

import inspect
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf


class LossGap(keras.callbacks.Callback):
    """Measure the loss after each epoch, in training mode and in inference mode.

    Keras reports a training loss that is averaged over the epoch, in training mode.
    This callback adds losses to its logs that are measured *after* the epoch, all but
    the last one on the same training data:

    - `training_mode_loss`: as `fit` computes it, with dropout, and with each batch's
      own statistics in batch normalization;
    - `batch_statistics_loss`, only of a model with `keras.layers.BatchNormalization`:
      in inference mode, but for these layers, which are as in training mode;
    - `inference_mode_loss`: as `model.evaluate` and the validation compute it;
    - `held_out_loss`, only with `held_out`: in inference mode, on data that are like
      the training data, but never trained on.

    `gap.split_gap` tells from them how much of the gap each of its reasons explains.

    The training goes on as if nothing had been measured: after each measurement, after
    an error and after Ctrl-C too, the model's variables and the seeds of its layers are
    put back. What cannot be put back is state that no model tells of: `keras.random`
    without a seed, `tf.random` in a model that runs eagerly, numbers that a layer keeps
    in Python, a `tf.Variable` in a list or dict of a layer, the replicas' own moving
    averages under a distribution strategy, and, in a model that is not built yet, state
    that its layers make when they are built and change in inference mode.

    The parts of the gap are undefined where `loss` and `val_loss` are not the loss of
    one model: with a `train_step` or `test_step` of your own that computes another
    loss, and with `SwapEMAWeights`, which validates the averaged weights. Batch
    normalization counts as regularization where it does not derive from Keras' layer,
    and is undefined where `fit` calls one layer in both modes.

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
    `EarlyStopping`, see the losses only when they stand behind `LossGap`, as above. The
    `History` that `fit` returns does.

    What `fit` does to the data must be done to these data too, or it is counted as
    timing. If it has `class_weight={0: 1.0, 1: 5.0}` and `y_train` are class numbers,
    give `sample_weight=np.array([1.0, 5.0])[y_train]`. If it gets augmented data, from
    a `map` in its data set, augment these data in the same way. The held-out and the
    validation data need the same weights and augmentation, or what these do is counted
    as memorization or as data. Augmentation layers inside the model are regularization.

    Args:
        x: the training data or, as every epoch measures all of it, a random sample of
            a few thousand, shape `(n, ...)`: arrays, or dicts, lists or tuples of them,
            as for `fit`. They are copied once, in a mixed order. Or a data set: a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator that yields
            batches as for `fit`. It must be another object than the one that `fit`
            reads, since measuring would draw on its order, and it should yield the same
            examples each time, in mixed batches. A generator goes on where it is, so
            the modes see different batches.
        y: the labels, as for `fit`; `None` if `x` has them.
        batch_size: examples in a batch of arrays. It must be `fit`'s: batch
            normalization depends on it, and with `reduction="sum"` the loss itself
            does. Defaults to 32.
        sample_weight: what `fit` gets as `sample_weight`, for these data. Defaults to
            `None`.
        steps: batches to measure, as for `model.evaluate`, of the held-out data too;
            needed for generators and for data sets that do not know their length, or
            have no end. Defaults to `None`, all.
        held_out: `(x, y)`, `(x, y, sample_weight)` or a data set: from the same source
            as the training data, but never given to `fit`. Defaults to `None`.

    Raises:
        ValueError: if the data are empty, of unequal lengths, or perhaps endless
            without `steps`, and before the first epoch if the model has no loss. Data
            that do not fit the model raise Keras' own error, then too.
    """

    def __init__(
        self, x, y=None, batch_size=32, sample_weight=None, steps=None, held_out=None
    ):
        super().__init__()
        self.steps = steps
        self.data = evaluate_arguments("x", (x, y, sample_weight), batch_size, steps)
        self.held_out = None
        if held_out is not None:
            data = keras.utils.unpack_x_y_sample_weight(held_out)
            self.held_out = evaluate_arguments("held_out", data, batch_size, steps)

    def on_train_begin(self, logs=None):
        # One batch of each shows what does not fit, before an epoch is spent on it.
        # Inference mode comes first: it builds the model, under the names of `fit`.
        in_inference_mode = {"inference_mode_loss": (self.model, self.data)}
        if self.held_out is not None:
            in_inference_mode["held_out_loss"] = (self.model, self.held_out)
        self.measure(in_inference_mode, steps=1)

        normalization = BatchNormalizationModes(self.model)
        training_mode = OtherMode(self.model, normalization, training=True)
        in_other_modes = {"training_mode_loss": (training_mode, self.data)}
        if normalization.layers:
            batch_statistics = OtherMode(self.model, normalization, training=False)
            in_other_modes["batch_statistics_loss"] = (batch_statistics, self.data)
        self.measure(in_other_modes, steps=1)
        self.passes = {**in_other_modes, **in_inference_mode}

    def on_epoch_end(self, epoch, logs):
        logs.update(self.measure(self.passes, self.steps))

    def measure(self, passes, steps):
        losses = {}
        for name, (model, data) in passes.items():
            with unchanged(self.model):
                results = model.evaluate(
                    **data, steps=steps, verbose=0, return_dict=True
                )
            if "loss" not in results:
                raise ValueError(
                    "LossGap: there is no loss to measure: the data are empty, or the "
                    "model's own test_step returns no 'loss'"
                )
            losses[name] = results["loss"]
        return losses


class OtherMode(keras.Model):
    """A model whose `evaluate` computes the loss of `model` in another mode.

    That is training mode or, with `training=False`, inference mode but for batch
    normalization, which is as it was in training mode.
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
        with self.normalization.in_training_mode(note=self.training):
            y_pred = self.inner(x, **mode_of(self.inner.call, self.training))
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
    try:
        yield
    finally:
        for variable, value in zip(variables.values(), values):
            variable.assign(value)


def evaluate_arguments(name, data, batch_size, steps):
    """Return arguments for `model.evaluate`: arrays in a mixed order, or a data set."""
    arguments = dict(zip(["x", "y", "sample_weight"], data))
    if not all(hasattr(part, "shape") for part in tf.nest.flatten(arguments["x"])):
        if steps is None and may_be_endless(arguments["x"]):
            raise ValueError(
                f"LossGap: {name} may be endless: say with steps=... how many batches "
                "to measure"
            )
        return arguments

    arrays = [array for array in tf.nest.flatten(arguments) if array is not None]
    lengths = sorted({array.shape[0] for array in arrays})
    if len(lengths) > 1 or lengths == [0]:
        raise ValueError(
            f"LossGap: the arrays of {name} have {' and '.join(map(str, lengths))} "
            "entries: give as many of each, and at least one"
        )
    # Sorted data would make batches, and a few of them, unlike the training data.
    order = np.random.default_rng(0).permutation(lengths[0])
    mixed = tf.nest.map_structure(lambda array: rows_of(array, order), arguments)
    return {**mixed, "batch_size": batch_size}


def rows_of(array, order):
    if array is None:
        return None
    if hasattr(array, "iloc"):  # pandas
        return array.iloc[order]
    return tf.gather(array, order) if tf.is_tensor(array) else array[order]


def may_be_endless(data_set):
    if isinstance(data_set, tf.data.Dataset):
        return data_set.cardinality() < 0  # infinite or unknown
    return inspect.isgenerator(data_set) or getattr(data_set, "num_batches", 0) is None
