"""Measure why the validation loss differs from the training loss."""

import warnings
from inspect import stack
from itertools import pairwise

import keras
import numpy as np

from .errors import values_of_batches, variance
from .modes import BatchNormalizationModes, OtherMode, overrides, unchanged
from .samples import may_be_endless, samples

# The part that each measurement begins: what it is above the next one that is made.
PART_OF = {
    "fit_data": "augmentation_and_weights",
    "training_mode": "regularization",
    "batch_statistics": "batch_normalization",
    "inference_mode": "memorization",
    "held_out": "data",
}


class LossGap(keras.callbacks.Callback):
    """Measure loss and metrics after each epoch, in training and in inference mode.

    Keras' training loss is an average over the epoch, in training mode. This callback
    adds losses to the logs that are measured *after* the epoch:

    - `fit_data_loss`, only with `fit_data`: in training mode, on such data;
    - `training_mode_loss`: with dropout, and with each batch's own statistics;
    - `batch_statistics_loss`, only with `keras.layers.BatchNormalization`: in inference
      mode, but for these layers, which are as in training mode;
    - `inference_mode_loss`: as `model.evaluate` and the validation compute it;
    - `held_out_loss`, only with `held_out`: the same on data never trained on.

    The `History` that `fit` returns has the same of each metric that is one number
    (`training_mode_accuracy`), the standard errors of the gap's parts (`timing_error`),
    and what the first eighth of each epoch had (`first_batches_loss`).

    Example:
    ```python
    loss_gap = LossGap(x_train, y_train, batch_size=64, steps=100)
    history = model.fit(x_train, y_train, batch_size=64, validation_data=(x_val, y_val),
                        callbacks=[loss_gap, CSVLogger("log.csv")])  # it stands first
    print(in_words(history), in_words(history, "accuracy"))
    ```

    Args:
        x: the training data, prepared as the *validation* data are. Arrays of the shape
            `(n, ...)`, or dicts, lists or tuples of them; or a data set (`tf.data`,
            `PyDataset`) with `fit`'s batches, mixed, the same in each pass.
        y: the labels, as for `fit`; `None` if `x` has them.
        batch_size: examples in a batch, for arrays: that of `fit`.
        sample_weight: weights, if the validation data have such weights, too.
        steps: batches to measure of each (default: all); of arrays, others each epoch.
        held_out: `(x, y)`, `(x, y, sample_weight)` or a data set: from the same source
            as the training data, but never given to `fit`.
        fit_data: the same, but built as `fit`'s, if that is augmented or weighted, with
            a seed of its own: `fit`'s noise is known to the network. For
            `class_weight={0: 1.0, 1: 5.0}`, `(x, y, np.array([1.0, 5.0])[y])`.
            Augmentation layers inside the model need none: they are regularization.

    Raises:
        ValueError: what cannot be measured, before the first epoch; no `val_loss`.

    Errors come from the spread of single batches, wider where these are few, so that
    two hold 95 %; they are `nan` of one batch (validate in smaller ones) and of an AUC.

    Limits:
    - The training goes on as if nothing had been measured, but for `keras.random`
      without a seed, `tf.random` in an eager model, and what layers keep in Python.
    - A data set must be built anew from the source, with augmentation layers of its
      own: reading the one that `fit` shuffles, through `take` too, changes its order.
    - With `validation_split`, split by hand, and give what `fit` trains on.
    - A loss that depends on the batch (RMSE, Dice) needs a validation in such batches.
    - Penalties (L1, L2) are in both losses, and so in no part of the gap.
    - `BatchNormalization(renorm=True)` uses moving averages in training mode, too.
    - `EarlyStopping("inference_mode_loss")` needs `mode="min"`.
    - `fit(epochs=1)` in a loop gives a history each: join their lists, name by name.
    """

    async_safe = True  # Keras need not wait for it: each batch has its own place

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
        data = {name: given for name, given in data.items() if given is not None}
        self.samples = {x: samples(x, data[x], batch_size, steps) for x in data}
        self.on_epoch_begin(0)  # a first sample, which shows what is wrong

    def on_train_begin(self, logs=None):
        self.history = self.model.history.history  # that of `fit`
        self.validation, self.weights = {}, None  # not seen, if a callback validates
        stateful = [getattr(x, "stateful", 0) for x in self.model._flatten_layers()]
        if any(stateful) and any("batch_size" in x for x in self.data.values()):
            raise ValueError("LossGap mixes arrays: for stateful=True give data sets")
        warn_of(self.model)
        # Inference mode is first: it builds the model, under the names of `fit`.
        self.passes = {"inference_mode": (self.model, "x")}
        once = self.measure(steps=1)
        normalization = BatchNormalizationModes(self.model)
        training = OtherMode(self.model, normalization, training=True)
        statistics = OtherMode(self.model, normalization, training=False)
        models = [training, training, statistics, self.model, self.model]
        passes = zip(PART_OF, models, ["fit_data", "x", "x", "x", "held_out"])
        self.passes = {n: (model, d) for n, model, d in passes if d in self.data}
        if not normalization.layers:
            del self.passes["batch_statistics"]
        # A batch of each shows what does not fit, before an epoch is spent on it.
        again = self.measure(steps=1)
        losses = [means["inference_mode"][-1]["loss"] for means in (once, again)]
        if not np.isclose(*losses, rtol=1e-4, equal_nan=True):
            warn(
                "LossGap: x gives other batches in each pass, which makes the parts wrong, "
                "and disturbs `fit` if x is its own: give arrays, or an unshuffled data set"
            )

    def on_epoch_begin(self, epoch, logs=None):
        self.training = {}
        self.data = {name: next(of) for name, of in self.samples.items()}

    def on_train_batch_end(self, batch, logs=None):
        self.training[batch] = logs

    def on_test_batch_begin(self, batch, logs=None):
        if batch == 0:
            self.validation = {}
            self.weights = [np.sum(x) for x in self.model.get_weights()]

    def on_test_batch_end(self, batch, logs=None):
        self.validation[batch] = logs

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" not in logs:
            raise ValueError("LossGap: `fit` needs validation_data, validation_freq=1")
        weights = [np.sum(x) for x in self.model.get_weights()]
        if self.weights and not np.array_equal(self.weights, weights, equal_nan=True):
            warn(
                "LossGap: `fit` validated other weights, whose gap this is not: put it "
                "before all other callbacks, and do without SwapEMAWeights"
            )
        # Its weights are nearly those that were measured after the epoch before.
        self.eighth = sorted(self.training)[: max(1, len(self.training) // 8)]
        means = self.measure()
        for metric in [name for name in logs if f"val_{name}" in logs]:
            values = {f"{name}_{metric}": means[name][-1].get(metric) for name in means}
            if not all(map(np.isscalar, [logs[metric], *values.values()])):
                continue  # an F1 score of each class, for example
            more = self.errors_of_parts(means, metric)
            more[f"first_batches_{metric}"] = self.training[self.eighth[-1]][metric]
            # Only the losses are logged: Keras' line for each epoch is long enough.
            (logs if metric == "loss" else more).update(values)
            for name, value in more.items():
                self.history.setdefault(name, []).append(float(value))

    def measure(self, **steps):
        """Evaluate each mode; return the means, as Keras has them after each batch."""
        means = {}
        for name, (model, data) in self.passes.items():
            kept = means[name] = []
            keep = keras.callbacks.Callback()
            keep.on_test_batch_end = lambda _, logs, kept=kept: kept.append(logs)
            arguments = {**self.data[data], **steps, "callbacks": [keep]}
            with unchanged(self.model):
                self.model.reset_metrics()
                model.evaluate(**arguments, verbose=0)
            if not kept or "loss" not in kept[-1]:
                raise ValueError("LossGap: no loss: empty data, or an own test_step")
        return means

    def errors_of_parts(self, means, metric):
        """The standard error of each part, from the values of single batches."""
        means = {**means, "val": [self.validation[x] for x in sorted(self.validation)]}
        values = {name: values_of_batches(means[name], metric) for name in means}
        first, steps = next(iter(means)), len(self.training)
        n, whole = values[first].shape[1], variance(values[first])
        # The share of `fit`'s data that is measured, 0 of another draw of them.
        share = {"inference_mode": not may_be_endless(self.data["x"]["x"])}
        arrays = "batch_size" in self.data.get("fit_data", {})
        share[first] = arrays if first == "fit_data" else share["inference_mode"]
        share = {name: share[name] * values[name].shape[1] / steps for name in share}
        own = {name: variance(values[name], share.get(name, 0)) for name in values}

        def of_difference(name, other):  # of the same batches, if they are as many
            name, other = values[name], values[other]
            return variance(name - other) if name.shape == other.shape else np.nan

        # `fit` had another sample or, of the same, other dropout: modes differ by it.
        drawn = of_difference("training_mode", "inference_mode")
        if first == "fit_data" and drawn:
            drawn *= whole / variance(values["training_mode"])
        more = 2 * drawn * min(1, share[first]) if share[first] else whole * n / steps
        variances = {"timing": own[first] + more}
        for name, other in pairwise(means):
            same = other not in ("held_out", "val")  # the same examples
            both = of_difference(name, other) if same else own[name] + own[other]
            variances[PART_OF[name]] = both
        if "held_out" not in means:
            variances["memorization_and_data"] = variances.pop("memorization")
        variances["first_batches"] = whole * (n / len(self.eighth) + 1 - share[first])
        prefix = "" if metric == "loss" else f"{metric}_"
        known = 1 if is_mean(self.model, metric) else np.nan
        return {f"{prefix}{x}_error": known * np.sqrt(variances[x]) for x in variances}


def is_mean(model, name):
    """Whether a metric of the logs is a mean over examples, as an AUC is not."""
    metrics = [y for x in model.metrics for y in getattr(x, "metrics", [x])]
    # With several outputs, the name of the output comes first.
    means = {type(x).result for x in metrics if f"_{name}".endswith(f"_{x.name}")}
    return name == "loss" or means == {keras.metrics.Mean.result}


def warn(message):
    """Warn at the line that called `fit`, and not at one of Keras'."""
    paths = (keras.__path__[0], __file__)
    inside = [frame.filename.startswith(paths) for frame in stack(0)]
    warnings.warn(message, stacklevel=inside.index(False) + 1)


def warn_of(model):
    """Say why the parts of a model's gap may not be what they are called."""
    names = ["train_step", "test_step", "evaluate"]
    doubts = [f"a {name} of its own" for name in names if overrides(model, name)]
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas > 1 and BatchNormalizationModes(model).layers:
        doubts.append(f"batch normalization in {replicas} replicas")
    if doubts:
        warn(
            f"LossGap: the model has {' and '.join(doubts)}: the parts of its gap hold "
            "only where that computes what Keras' own does, and does on whole batches"
        )
