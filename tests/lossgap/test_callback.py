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
from helpers import (
    BATCHES,
    FEW,
    LOSS,
    TEST,
    TRAIN,
    X,
    Y,
    data_set,
    eager,
    fit,
    losses_by_hand,
    network,
    warnings_of,
)
from keras import layers
from keras.callbacks import SwapEMAWeights

from pyimagesearch.history import load
from pyimagesearch.lossgap import LossGap, in_words, split_gap

MODES = {"training_mode_loss", "inference_mode_loss"}


def test_noise_in_the_data_set_of_fit_is_a_part_of_its_own():
    def noisy(seed):
        noise = layers.GaussianNoise(1, seed=seed)
        return BATCHES.map(lambda x, y: (noise(x, training=True), y)).repeat(5)

    keras.utils.set_random_seed(1)
    loss_gap = LossGap(*FEW, batch_size=32, fit_data=noisy(2), steps=10)
    history = fit(network(rate=0.0), noisy(1), loss_gap, validation_data=FEW)
    parts = split_gap(history)
    assert parts["augmentation_and_weights"] > 0.5
    # It is not zero, as the network sees other noise, and this is no news.
    assert 0 < abs(parts["timing"][0]) < 2 * history["timing_error"][0] < 0.4


def test_weights_of_a_data_set_are_given_and_double_the_luck_of_dropout():
    loss_gap = LossGap(X, Y, 16, fit_data=(X, Y, np.full(64, 2.0)))
    weighted = data_set((X, Y, np.full(64, 2.0)), 16)
    model = network(layers.Dropout(0.5), rate=0.0)
    history = fit(model, weighted, loss_gap, validation_data=BATCHES)
    losses = losses_by_hand(model, X, Y)
    assert split_gap(history)["augmentation_and_weights"] > losses.mean()
    expected = np.sqrt(2) * 2 * history["regularization_error"][0]
    assert history["timing_error"][0] == pytest.approx(expected, rel=1e-3)


def test_errors_are_those_of_single_batches_by_hand():
    (held_out, x), (held_out_labels, y) = (np.split(array, [100]) for array in TRAIN)
    keras.utils.set_random_seed(3)
    model = network(layers.Dropout(0.02), layers.Dense(32, "relu"))
    loss_gap = LossGap(x, y, 10, steps=11, held_out=(held_out, held_out_labels))
    validation = {"validation_data": data_set(TEST, 10)}
    history = fit(model, data_set((x, y), 10), loss_gap, **validation)

    def error(x, y):
        losses = losses_by_hand(model, x, y).reshape(-1, 10).mean(axis=1)
        return 1.1 * np.std(losses, ddof=1) / np.sqrt(len(losses))

    # 11 of 22 batches are measured: half of the variance of the training data is left.
    samples = [zip(*loss_gap.samples[name]["x"]) for name in ("x", "held_out")]
    training, held_out = (error(*map(np.concatenate, sample)) for sample in samples)
    expected = {"timing": training * np.sqrt(1 / 2)}  # of dropout there is little
    expected["memorization"] = np.hypot(expected["timing"], held_out)
    expected["data"] = np.hypot(held_out, error(*TEST))
    # The first eighth is 2 batches: 1 / 2 + 1 / 11 - 1 / 22 of the variance of one.
    expected["first_batches"] = training * np.sqrt(11 / 2 + 1 / 2)
    for name, value in expected.items():
        assert history[f"{name}_error"] == [pytest.approx(value, rel=0.06)], name
    # The modes see the same batches: what these have in common is no error.
    assert 0 < history["regularization_error"][0] < training / 3


def test_the_errors_of_all_data_are_the_luck_of_dropout():
    keras.utils.set_random_seed(1)
    model = network(layers.Dense(32, "relu"), layers.Dropout(0.5), rate=0.0)
    model.compile(keras.optimizers.SGD(0.0), LOSS, metrics=["accuracy"])
    batches, validation = data_set(FEW, 8), data_set(TEST, 50)
    # It learns nothing: all that differs is luck, in `fit` as in LossGap.
    options = {"epochs": 15, "validation_data": validation}
    history = fit(model, batches, LossGap(batches), **options)
    for metric, prefix in [("loss", ""), ("accuracy", "accuracy_")]:
        errors = np.array(history[f"{prefix}timing_error"])
        timing = split_gap(history, metric)["timing"]
        assert 0.5 < np.std(timing) / errors.mean() < 1.1
        assert (np.abs(timing) > 2 * errors).sum() <= 3


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_error_is_zero_only_where_nothing_is_drawn_and_nan_where_unknown():
    finite = data_set(FEW, 8)

    def errors(measured, steps, *hidden, validation=finite):
        model, loss_gap = network(*hidden), LossGap(measured, steps=steps)
        history = fit(model, finite, loss_gap, validation_data=validation)
        return [history[f"{x}_error"][0] for x in ("timing", "memorization_and_data")]

    assert errors(finite, 8)[0] == 0 < errors(finite, 8, layers.Dropout(0.5))[0]
    np.testing.assert_equal(errors(finite, 1), [np.nan, np.nan])
    np.testing.assert_equal(errors(finite, 8, validation=BATCHES.take(1)), [0, np.nan])
    # Two samples of as many batches, as those of the validation are.
    timing, last = errors(finite.repeat(), 8)
    assert timing == pytest.approx(last) and timing > 0


def test_weights_that_are_others_in_the_validation_are_warned_of():
    averaging = keras.optimizers.SGD(0.1, use_ema=True)
    swap, loss_gap, model = SwapEMAWeights(), LossGap(BATCHES), network()
    model.compile(averaging, LOSS, run_eagerly=True)
    for callbacks in ([loss_gap, swap], [swap, loss_gap]):
        (words,) = warnings_of(BATCHES, *callbacks, model=model, epochs=3)
        assert "validated other weights" in words and "SwapEMAWeights" in words
    normalizing = network(layers.BatchNormalization(), layers.Dropout(0.5))
    for model in (normalizing, network(rate=np.nan)):  # the latter diverges
        assert warnings_of(BATCHES, LossGap(BATCHES), model=model, epochs=2) == []


@pytest.mark.parametrize("size, weight, doubted", [(32, 1, 0), (32, 1.5, 1), (4, 1, 1)])
def test_timing_is_in_doubt_where_fit_has_other_data(size, weight, doubted):
    keras.utils.set_random_seed(1)
    model = network(layers.Dense(32, "relu"), layers.BatchNormalization())
    model.compile(keras.optimizers.SGD(0.02), LOSS)
    batches = tf.data.Dataset.from_tensor_slices(TRAIN).shuffle(320).batch(size)
    options = {"class_weight": dict.fromkeys(range(10), weight), "epochs": 3}
    loss_gap, validation = LossGap(data_set(TRAIN, 32)), data_set(TEST, 50)
    history = fit(model, batches, loss_gap, validation_data=validation, **options)
    assert ("Timing is in doubt" in in_words(history)) == doubted


def test_what_fit_reports_does_not_change_and_later_callbacks_see_more(tmp_path):
    model = eager(network(), metrics=["accuracy"])
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(model, BATCHES, LossGap(BATCHES, held_out=BATCHES), log)
    evaluated = model.evaluate(BATCHES, verbose=0, return_dict=True)
    assert history["val_accuracy"] == [evaluated["accuracy"]]
    expected = {"loss", "accuracy", "val_loss", "val_accuracy", "held_out_loss"} | MODES
    more = {"first_batches_loss", "first_batches_accuracy", "held_out_accuracy"}
    more |= {name.replace("loss", "accuracy") for name in MODES}
    parts = [
        *split_gap(history),
        "first_batches",
        "validation",
        "memorization_and_data",
    ]
    errors = {f"{part}_error" for part in parts}
    errors |= {f"accuracy_{name}" for name in errors}
    assert set(history) == expected | more | errors
    columns = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert set(columns) == {"epoch"} | expected


def test_the_readmes_example_needs_one_folder(tmp_path, capsys, monkeypatch):
    shutil.copytree(ROOT / "pyimagesearch" / "lossgap", tmp_path / "lossgap")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "pyimagesearch", None)  # importing it is an error
    readme = (ROOT / "README.md").read_text("utf-8")
    (example,) = re.findall("```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    model = eager(network(layers.Dropout(0.5)), metrics=["accuracy"])
    names = {"model": model, "x_train": X, "y_train": Y, "x_val": X, "y_val": Y}
    exec(example, names)  # noqa: S102 - it is ours
    assert "regular-" in capsys.readouterr().out
    assert plt.gca().get_title().startswith("Where the Gap Comes From")
    plt.close("all")
    # What `plot_shift.py` plots.
    (tmp_path / "own.pickle").write_bytes(pickle.dumps(names["history"].history))
    assert split_gap(load(tmp_path / "own.pickle"), "accuracy")
