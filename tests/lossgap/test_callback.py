"""What LossGap leaves in a history, and when; with MiniVGGNet: test_fashion_mnist.py."""

import pickle
import re
import shutil
import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from helpers import BATCHES, FEW, TEST, TRAIN, Kept, data_set, fit, network, warnings_of
from keras import layers
from keras.callbacks import SwapEMAWeights

from pyimagesearch.history import load
from pyimagesearch.lossgap import LossGap, split_gap


def noisy(seed, times=5):
    noise = layers.GaussianNoise(1, seed=seed)
    return BATCHES.map(lambda x, y: (noise(x, training=True), y)).repeat(times)


def fit_unchanged(batches, loss_gap):
    """The history of a training that changes nothing, validated without noise."""
    return fit(network(rate=0.0), batches, loss_gap, validation_data=BATCHES)


@pytest.mark.filterwarnings("ignore:LossGap. the validation's data are unlike")
def test_augmentation_is_a_part_of_its_own_with_plain_examples():
    keras.utils.set_random_seed(1)
    for more in ({}, {"fit_data": noisy(2)}):
        history = fit_unchanged(noisy(1), LossGap(plain=BATCHES, **more))
        parts, error = split_gap(history), history["timing_error"][0]
        assert parts["augmentation_and_weights"] > 0.5
        assert parts["memorization_and_data"] == pytest.approx(0, abs=1e-5)
        # The batches of `fit` have its noise, and another draw has other noise.
        assert (abs(parts["timing"][0]) < 2e-5) == (more == {})
        assert abs(parts["timing"][0]) <= 3 * error < 0.6
        # All of `fit`'s noise is measured. Another draw is one of many, and `fit`'s, too.
        of_one = history["augmentation_and_weights_error"][0]
        assert (of_one < 1e-6) == (more == {})
        assert error == pytest.approx(np.sqrt(2) * of_one, abs=1e-6)
    # Without plain examples it is in the last part.
    parts = split_gap(fit_unchanged(noisy(1, times=1), LossGap()))
    assert parts["memorization_and_data"] > 0.5


CLASS_WEIGHT = {label: 1.0 + label for label in range(10)}
WEIGHTS = 1.0 + FEW[1].argmax(axis=1)
WEIGHTED = data_set((*FEW, WEIGHTS), 32)


def losses_by_hand(model, x, y):
    """The loss of each example in inference mode."""
    losses = keras.losses.categorical_crossentropy(y, model(x, training=False))
    return keras.ops.convert_to_numpy(losses)


@pytest.mark.parametrize("validation", [BATCHES, WEIGHTED], ids=["plain", "weighted"])
def test_weights_of_fit_are_a_part_unless_the_validation_has_some(validation):
    model, loss_gap = network(rate=0.0), LossGap(held_out=(*FEW, WEIGHTS))
    options = {"validation_data": validation, "class_weight": CLASS_WEIGHT}
    history = fit(model, BATCHES, loss_gap, **options)
    parts = split_gap(history)
    if validation is BATCHES:
        expected = (losses_by_hand(model, *FEW) * (WEIGHTS - 1)).mean()
        part = parts.pop("augmentation_and_weights")
        assert part == pytest.approx(expected, rel=1e-4)
    assert "augmentation_and_weights" not in parts
    np.testing.assert_allclose(list(parts.values()), 0, atol=1e-5)
    assert history["timing_error"] == [0]


def test_weights_of_the_validation_alone_are_warned_of():
    weighted = data_set((*FEW, np.linspace(0, 2, 64)), 32)
    options = {"validation_data": weighted, "epochs": 2}  # and in the first one alone
    words = warnings_of(BATCHES, LossGap(held_out=BATCHES), **options)
    assert "the validation has sample weights, and `fit` has none" in words[0]
    assert "the validation has sample weights, and held_out has none" in words[1]
    assert len(words) == 2
    loss_gap, options = LossGap(fit_data=BATCHES), {"validation_data": BATCHES}
    (words,) = warnings_of(weighted, loss_gap, **options)
    assert "`fit` has sample weights, and fit_data has none" in words


def test_errors_are_those_of_single_batches_by_hand():
    x, y = (array[100:] for array in TRAIN)
    keras.utils.set_random_seed(3)
    model = network(layers.Dropout(0.02), layers.Dense(32, "relu"), rate=0.0)
    loss_gap = LossGap(steps=11)
    kept, options = Kept(loss_gap), {"validation_data": data_set(TEST, 10)}
    history = fit(model, data_set((x, y), 10), kept, loss_gap, **options)

    def error(losses):
        means = np.reshape(losses, (-1, 10)).mean(axis=1)
        return 1.1 * np.std(means, ddof=1) / np.sqrt(len(means))

    # 11 of 22 batches are measured: half of the variance of the training data is left.
    sample = map(np.concatenate, zip(*kept.epochs[0]))
    training, validation = (error(losses_by_hand(model, *xy)) for xy in (sample, TEST))
    expected = {"timing": training * np.sqrt(1 / 2)}  # of dropout there is little
    validation = max(validation, training * np.sqrt(11 / 10))  # in 10 batches
    expected["memorization_and_data"] = np.hypot(expected["timing"], validation)
    for name, value in expected.items():
        assert history[f"{name}_error"] == [pytest.approx(value, rel=0.06)], name
    assert history["measured_share"] == [0.5]
    # The modes see the same batches: what these have in common is no error.
    assert 0 < history["regularization_error"][0] < training / 3


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_errors_are_unknown_of_one_batch_and_zero_where_it_is_all_that_there_is():
    one_of_two = fit(network(), BATCHES, LossGap(steps=1))
    assert np.isnan(one_of_two["timing_error"])
    assert np.isnan(one_of_two["memorization_and_data_error"])
    one = fit(network(layers.BatchNormalization()), data_set(FEW, 64), LossGap())
    # Nothing is drawn: there is no luck in which batch it is.
    assert one["timing_error"] == one["batch_normalization_error"] == [0]
    assert np.isnan(one["memorization_and_data_error"])  # the validation is a draw


def test_weights_that_are_others_in_the_validation_are_warned_of():
    class Swap(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            self.before = self.model.get_weights()
            self.model.set_weights([0 * x for x in self.before])

        def on_test_end(self, logs=None):
            self.model.set_weights(self.before)  # exactly as they were

    (words,) = warnings_of(BATCHES, LossGap(), Swap())
    assert "validated other weights" in words
    averaging, model = keras.optimizers.SGD(0.1, use_ema=True), network()
    model.compile(averaging, model.loss, run_eagerly=True)
    (words,) = warnings_of(BATCHES, SwapEMAWeights(), LossGap(), model=model)
    assert "validated other weights" in words and "SwapEMAWeights" in words
    diverging = network(layers.BatchNormalization(), rate=np.nan)
    assert warnings_of(BATCHES, LossGap(), model=diverging) == []


def test_sorted_data_that_are_hardly_mixed_are_named_by_timing_alone():
    order = np.argsort(TRAIN[1].argmax(axis=1), kind="stable")
    x, y = (part[order] for part in TRAIN)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(16, seed=1).batch(8)
    keras.utils.set_random_seed(1)
    model = network()
    model.compile(keras.optimizers.SGD(0.05), model.loss)
    history = fit(model, batches, LossGap(None), validation_data=data_set(TEST, 50))
    parts = split_gap(history)
    assert parts["timing"][0] < -10 * history["timing_error"][0] - 0.5
    # The network *was* better on the batches that it just had; nothing else is.
    last = parts["memorization_and_data"][0]
    assert abs(last) < 3 * history["memorization_and_data_error"][0]


@pytest.mark.parametrize("options", [{"validation_data": None}, {"validation_freq": 2}])
def test_without_a_validation_in_each_epoch_it_does_not_start(options):
    model = network()
    with pytest.raises(ValueError, match="needs validation_data, validation_freq=1"):
        fit(model, BATCHES, LossGap(), epochs=9, **options)
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize("steps", [0, -1])
def test_no_steps_are_refused(steps):
    with pytest.raises(ValueError, match=f"steps={steps} measures nothing"):
        LossGap(steps)


def test_later_callbacks_see_the_losses_that_are_measured(tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    model = network(metrics=["accuracy"])
    fit(model, BATCHES, LossGap(held_out=BATCHES), log)
    columns = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    losses = {"loss", "val_loss", "training_mode_loss", "inference_mode_loss"}
    others = {"epoch", "accuracy", "val_accuracy", "held_out_loss"}
    assert set(columns) == losses | others


def test_the_readmes_example_needs_one_folder(tmp_path, capsys, monkeypatch):
    shutil.copytree(ROOT / "pyimagesearch" / "lossgap", tmp_path / "lossgap")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "pyimagesearch", None)  # importing it is an error
    readme = (ROOT / "README.md").read_text("utf-8")
    (example,) = re.findall("```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {"model": network(layers.Dropout(0.5), metrics=["accuracy"])}
    names |= zip(("x_train", "y_train", "x_val", "y_val"), FEW + TEST)
    exec(example, names)  # noqa: S102 - it is ours
    assert "regular-" in capsys.readouterr().out
    assert plt.gca().get_title().startswith("Where the Gap Comes From")
    # What `plot_shift.py` plots.
    (tmp_path / "own.pickle").write_bytes(pickle.dumps(names["history"].history))
    assert split_gap(load(tmp_path / "own.pickle"), "accuracy")
