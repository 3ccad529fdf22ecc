"""What single batches do to the metrics of a model, and whose errors can be known."""

from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from .errors import Batches

# Keras' metrics that are computed from sums over examples, and change smoothly with
# these. Not those that jump, as PrecisionAtRecall does, nor counts, as TruePositives.
FROM_SUMS = (
    keras.metrics.AUC,
    keras.metrics.FBetaScore,
    keras.metrics.IoU,
    keras.metrics.Precision,
    keras.metrics.R2Score,
    keras.metrics.Recall,
    keras.metrics.RootMeanSquaredError,
)

# What grows with the examples that are counted, and so has no gap.
COUNTS = (
    keras.metrics.FalseNegatives,
    keras.metrics.FalsePositives,
    keras.metrics.Sum,
    keras.metrics.TrueNegatives,
    keras.metrics.TruePositives,
)


def metrics_by_name(model):
    """The metrics of a compiled model, once it has measured, by their names in the logs."""
    named = {}
    for metric in model.metrics:
        if hasattr(metric, "metrics"):
            # All that were compiled; its results are in the same order. A train_step of
            # one's own may not have them.
            named |= zip(metric.result(), metric.metrics) if metric.built else []
        else:
            named[metric.name] = metric
    return named


def number_of_examples(loss):
    """How many Keras has counted for the mean of the loss; 0 if that is not Keras'."""
    return float(tf.identity(loss.count.value)) if is_mean(loss) else 0.0


def is_of_keras(thing):
    return thing.__module__.split(".")[0] == "keras"


def is_mean(metric):
    """Whether its result is a mean over examples, or at least over batches."""
    return getattr(type(metric), "result", None) is keras.metrics.Mean.result


def is_from_sums(metric):
    """Whether its result without a batch can be had by subtracting what that added."""
    # Of a class that is not Keras' own, nobody can know.
    return isinstance(metric, FROM_SUMS) and is_of_keras(metric)


class Recorder(keras.callbacks.Callback):
    """Keeps what each batch of an `evaluate` does to the metrics of a model.

    These are the `logs` after each batch, with means over the batches until then, and
    the `sums` from which other metrics are computed. It is not `async_safe`, so that
    Keras waits until they are read.

    `model` is the `Mode` of the measured model, whose metrics have been updated before;
    `share` is what the batches are of all that there are, `n / N`.
    """

    def __init__(self, measured_model, share):
        super().__init__()
        self.share, self.logs, self.sums = share, [], []
        self.metrics = metrics_by_name(measured_model)

    def on_test_batch_end(self, batch, logs=None):
        if self.model.distribute_strategy.num_replicas_in_sync > 1:
            # The logs of Keras 3.5 are those of the first replica.
            results = self.model.get_metrics_result()
            logs = {name: np.asarray(x).tolist() for name, x in results.items()}
        self.logs.append(logs)
        self.examples = number_of_examples(self.model.mean)
        metrics = self.metrics.items()
        sums = {x: sums_of(metric) for x, metric in metrics if is_from_sums(metric)}
        self.sums.append(sums)

    def batches(self, name):
        """The `Batches` of a metric, or None where single ones cannot be known."""
        values = self.values(name)
        if values is None:
            return None
        # What each of the logs is of: under a strategy several batches.
        examples = self.examples / len(self.logs) or np.nan
        return Batches(values, self.values("loss"), self.share, examples)

    def values(self, name):
        """The values of the batches, or what takes their place; None if unknown."""
        metric = self.metrics.get(name)
        if is_from_sums(metric):
            return pseudo_values_of(metric, [of_batch[name] for of_batch in self.sums])
        if name == "loss" or is_mean(metric):
            return values_of_batches([logs[name] for logs in self.logs])
        return None


def values_of_batches(running_means):
    """The values of single batches, from the mean over all batches up to each.

    Of batches of one size, `m_i * i - m_(i-1) * (i-1)` for `i = 1 ... n`; a smaller last
    batch counts as little as it does in the mean.
    """
    means = np.array(running_means, float)
    means = np.where(np.isfinite(means), means, np.nan)
    return np.diff(means * np.arange(1, len(means) + 1), prepend=0)


def sums_of(metric):
    # As tensors, which of several replicas have the sum.
    return [tf.identity(variable.value).numpy() for variable in metric.variables]


def pseudo_values(result, results_without):
    """The pseudo-values of the jackknife: `n * result - (n - 1) * result without i`.

    They take the place of single batches' values for a metric that is no mean over
    examples, but computed from sums: an AUC, precision, an F1 score. It holds where a
    batch changes the result little and smoothly, and not where this jumps.

    Source: Quenouille 1956, Tukey 1958; Efron, The Jackknife, the Bootstrap and Other
    Resampling Plans, 1982, chapter 2.
    """
    n = len(results_without)
    return n * result - (n - 1) * np.array(results_without, float)


def pseudo_values_of(metric, sums):
    """The pseudo-values of a metric, from its sums after each batch."""

    def result_from(sums):
        return float(metric.stateless_result([tf.constant(x) for x in sums]))

    zeros = [np.zeros_like(x) for x in sums[0]]
    without = []
    for before, after in pairwise([zeros, *sums]):
        rest = [total - (a - b) for total, a, b in zip(sums[-1], after, before)]
        without.append(result_from(rest))
    return pseudo_values(result_from(sums[-1]), without)
