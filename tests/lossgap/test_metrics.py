"""Metrics that are computed from sums have errors, those of the jackknife."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import FEW, TEST, data_set, fit, network
from keras import layers, metrics

from pyimagesearch.lossgap import LossGap, draw_gap, in_words, split_gap
from pyimagesearch.lossgap.errors import Batches, of_draw, of_luck
from pyimagesearch.lossgap.metrics import pseudo_values_of, sums_of

DRAWS = 30


def pseudo_values(metric, y, y_pred):
    """Those of the batches; the metric has its result afterwards."""
    metric.reset_state()
    sums = []
    for of_batch in zip(y, y_pred):
        metric.update_state(*of_batch)
        sums.append(sums_of(metric))
    return pseudo_values_of(metric, sums)


def test_errors_are_the_luck_of_many_draws_and_of_paired_modes():
    random, metric = np.random.default_rng(1), metrics.AUC(num_thresholds=30)
    metric.update_state = tf.function(metric.update_state)  # quicker
    results, variances, differences, paired = [], [], [], []
    for _ in range(DRAWS):
        y = (random.random((10, 32, 1)) < 0.4).astype("float32")
        logits = random.normal(size=y.shape) + 1.5 * y - 1
        y_pred = 1 / (1 + np.exp(-logits))
        noisy = np.clip(y_pred + random.normal(0, 0.2, y.shape), 0, 1)
        values = pseudo_values(metric, y, y_pred.astype("float32"))
        result = float(metric.result())
        others = pseudo_values(metric, y, noisy.astype("float32"))
        ours, theirs = (Batches(x, x, 0.0, 32) for x in (values, others))
        results.append(result)
        variances.append(of_draw(ours))
        differences.append(result - float(metric.result()))
        paired.append(of_luck(ours, theirs))
        assert values.mean() == pytest.approx(result, abs=0.02)
    for drawn, squared in ((results, variances), (differences, paired)):
        assert 0.65 < np.sqrt(np.mean(squared)) / np.std(drawn, ddof=1) < 1.55


class Custom(metrics.Metric):
    def __init__(self, name="custom"):
        super().__init__(name=name)
        self.largest = self.add_weight(shape=(), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(y_pred)))

    def result(self):
        return self.largest + 0.0  # a tensor


class OwnAUC(metrics.AUC):
    """Of somebody's own class nobody knows whether subtraction is right."""


def test_each_metric_is_measured_as_evaluate_does_and_sums_have_errors():
    of_keras = [metrics.AUC(num_thresholds=20, name="auc")]
    of_keras += [metrics.Precision(0.12, name="precision")]
    of_keras += [metrics.F1Score("macro", name="f1"), metrics.R2Score(name="r2")]
    unknown = [metrics.PrecisionAtRecall(0.5, num_thresholds=20, name="jumps")]
    unknown += [Custom(), OwnAUC(num_thresholds=20, name="own_auc")]
    each, count = metrics.F1Score(name="each_f1"), metrics.TruePositives(name="count")
    names = [metric.name for metric in of_keras]
    keras.utils.set_random_seed(1)
    kinds = ["accuracy", *of_keras, *unknown, each, count]
    model = network(layers.Dropout(0.3), metrics=kinds)
    options = {"batch_size": 16, "validation_data": data_set(TEST, 50)}
    history = fit(model, FEW, LossGap(), **options)
    expected = model.evaluate(*FEW, verbose=0, return_dict=True)
    for name in ["accuracy", *names, "jumps", "custom", "own_auc"]:
        measured = history[f"inference_mode_{name}"]
        assert measured == [pytest.approx(float(expected[name]), rel=1e-4)]
        parts = split_gap(history, name)
        errors = [history[f"{name}_{part}_error"] for part in parts]
        assert np.isfinite(errors).all() == (name in ["accuracy", *names])
    for name in ("jumps", "custom", "own_auc"):
        assert in_words(history, name).count("its error is unknown") > 1
        assert draw_gap(history, name).get_legend().get_title().get_text()
    without_gap = ("mode_each_f1", "mode_count")
    assert not any(x in name for x in without_gap for name in history)
    with pytest.raises(ValueError, match="each_f1 is not one number for each epoch"):
        in_words(history, "each_f1")
