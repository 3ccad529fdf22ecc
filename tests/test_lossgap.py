"""LossGap with models and data of all kinds; with MiniVGGNet: test_fashion_mnist.py."""

import random
import re
import shutil
import sys
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import ROOT
from keras import layers
from keras.callbacks import LambdaCallback, SwapEMAWeights

from pyimagesearch.dataset import load_data
from pyimagesearch.history import load
from pyimagesearch.lossgap import LossGap, in_words, split_gap
from pyimagesearch.lossgap.errors import variance
from pyimagesearch.lossgap.modes import BatchNormalizationModes, OtherMode

LOSS = "categorical_crossentropy"
MODES = {"training_mode_loss", "inference_mode_loss"}
TRAIN, TEST = [
    (x[..., np.newaxis].astype("float32") / 255, np.eye(10, dtype="float32")[y])
    for x, y in load_data()
]
X, Y = FEW = TRAIN[0][:64], TRAIN[1][:64]


def data_set(arrays, batch_size):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)


BATCHES = data_set(FEW, 32)  # costs Keras less than arrays


def eager(model, loss=LOSS, rate=0.01, **options):
    """Compile a model to run eagerly, which is faster for so few images."""
    model.compile(keras.optimizers.SGD(rate), loss, run_eagerly=True, **options)
    return model


def network(*hidden, rate=0.01, **dense):
    output = layers.Dense(10, activation="softmax", **dense)
    image = keras.Input((28, 28, 1))
    model = keras.Sequential([image, layers.Flatten(), *hidden, output])
    return eager(model, rate=rate)


def fit(model, batches, *callbacks, **options):
    options = {"validation_data": batches, "shuffle": False, "verbose": 0, **options}
    return model.fit(batches, callbacks=list(callbacks), **options).history


def measured(model, *args, **options):
    """The losses that LossGap adds to the logs after an epoch."""
    loss_gap = LossGap(*args, **{"batch_size": 32, **options})
    keras.callbacks.CallbackList([loss_gap], add_history=True, model=model)
    loss_gap.on_train_begin()
    means = loss_gap.measure()
    return {f"{name}_loss": means[name][-1]["loss"] for name in means}


def losses_by_hand(model, x, y):
    """The loss of each example in inference mode."""
    losses = keras.losses.categorical_crossentropy(y, model(x, training=False))
    return keras.ops.convert_to_numpy(losses)


class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.steps = {"first": [layers.BatchNormalization()]}

    def call(self, x):
        return self.steps["first"][0](x)


class OwnNormalization(layers.BatchNormalization):
    pass


@pytest.mark.filterwarnings("error:LossGap")
def test_all_that_batch_normalization_does_is_its_part():
    in_a_model = keras.Sequential([keras.Input((784,)), OwnNormalization()])
    in_a_wrapper = layers.TimeDistributed(layers.BatchNormalization())
    wrapped = [layers.Reshape((4, 196)), in_a_wrapper, layers.Flatten()]
    for hidden in ([Block()], [in_a_model], wrapped):
        model = network(*hidden)
        training, statistics, inference = measured(model, BATCHES).values()
        assert training == pytest.approx(statistics, abs=1e-5)
        assert abs(statistics - inference) > 1e-2
        assert not any("call" in vars(layer) for layer in model._flatten_layers())


def test_without_batch_normalization_dropout_is_all_of_the_difference():
    losses = measured(network(layers.Dropout(0.9)), BATCHES)
    assert set(losses) == MODES
    assert losses["training_mode_loss"] > losses["inference_mode_loss"] + 0.1


class WithoutMode(layers.BatchNormalization):
    def call(self, x):
        return super().call(x, training=False)


class InInferenceMode(layers.Layer):
    def __init__(self):
        super().__init__()
        self.normalize = layers.BatchNormalization()

    def call(self, x):
        return self.normalize(x, training=False)


def test_batch_normalization_that_fit_leaves_in_inference_mode_has_no_part():
    frozen = layers.BatchNormalization()
    frozen.trainable = False
    for layer in (frozen, WithoutMode(), InInferenceMode()):
        training, *others = measured(network(layer), BATCHES).values()
        assert others == pytest.approx([training] * 2, abs=1e-6)


def test_steps_of_arrays_are_random_samples_until_all_were_measured():
    x, y = TRAIN
    order = np.argsort(y.argmax(axis=1), kind="stable")
    loss_gap = LossGap(x[order], y[order], batch_size=32, steps=2)
    labels, seen = {image.tobytes(): y.argmax() for image, y in zip(x, y)}, {}
    for epoch in range(5):
        loss_gap.on_epoch_begin(epoch)
        sample = loss_gap.data["x"]
        images, classes = sample["x"], sample["y"].argmax(axis=1)
        assert len(images) == len(classes) == 64 and len(set(classes)) >= 8
        seen |= {image.tobytes(): label for image, label in zip(images, classes)}
    assert seen == labels


def test_each_mode_is_compiled_as_the_model():
    for option in ("run_eagerly", "jit_compile"):
        model = network()
        model.compile("sgd", LOSS, **{option: True})
        mode = OtherMode(model, BatchNormalizationModes(model), training=True)
        assert getattr(mode, option) is True
    # Several steps an execution measure the same.
    eager(model, steps_per_execution=2)
    history = fit(model, data_set(FEW, 8), LossGap(data_set(FEW, 8)))
    assert history["training_mode_loss"] == history["inference_mode_loss"]
    assert history["timing_error"] == [0]  # all of it is measured, and nothing drawn


def test_penalties_and_sparse_labels_are_no_part_of_the_gap():
    penalty = keras.regularizers.L2(0.01)
    model = network(kernel_regularizer=penalty, activity_regularizer=penalty)
    eager(model, "sparse_categorical_crossentropy", rate=0.0)
    batches = data_set((X, Y.argmax(axis=1)), 32)
    history = fit(model, batches, LossGap(batches))
    for part in split_gap(history).values():
        np.testing.assert_allclose(part, 0, atol=1e-5)


class WithoutTraining(keras.Sequential):
    def call(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Stricter(keras.Sequential):
    def compute_loss(self, x, y, y_pred, sample_weight, training):
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        return loss + (1.0 if training else 0.0)


def test_the_mode_is_set_where_fit_sets_it():
    for kind, expected in [(WithoutTraining, 0), (Stricter, 1)]:
        hidden = [] if expected else [layers.Dropout(0.9)]
        model = eager(kind(network(*hidden).layers), rate=0.0)
        parts = split_gap(fit(model, BATCHES, LossGap(BATCHES)))
        np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
        np.testing.assert_allclose(parts["regularization"], expected, atol=1e-5)


def test_mixed_precision_casts_the_inputs_as_fit_does():
    x = np.floor(X * 2999)  # above 2048 float16 has no odd numbers
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        first = layers.Embedding(3000, 2, dtype="float32")
        head = [layers.Flatten(), layers.Dense(10, activation="softmax")]
        model = eager(keras.Sequential([keras.Input((28, 28, 1)), first, *head]))
        losses = measured(model, x, Y)
        expected = model.evaluate(x, Y, verbose=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-3)


def test_several_inputs_outputs_and_weights_count_as_in_evaluate():
    inputs = [keras.Input((28, 28, 1)), keras.Input((28, 28, 1))]
    first, second = [layers.Flatten()(part) for part in inputs]
    kind = layers.Dense(10, activation="softmax", name="kind")(first)
    outputs = {"kind": kind, "light": layers.Dense(1, name="light")(second)}
    model = keras.Model(inputs, outputs)
    eager(model, {"kind": LOSS, "light": "mse"}, metrics={"kind": "accuracy"})
    x, y = [X, 1 - X], {"kind": Y, "light": X.mean(axis=(1, 2))}
    weights = {"kind": np.linspace(0, 4, 64), "light": np.linspace(3, 0, 64)}
    options = {"sample_weight": weights, "held_out": (x, y, weights)}
    losses = measured(model, x, y, batch_size=24, **options)  # a smaller last one
    expected = model.evaluate(x, y, sample_weight=weights, verbose=0)[0]
    assert abs(expected - model.evaluate(x, y, verbose=0)[0]) > 0.01
    assert list(losses.values()) == pytest.approx([expected] * 3, rel=1e-5)
    history = fit(model, data_set((tuple(x), y), 24), LossGap(x, y, 24))
    for metric in ("loss", "kind_loss", "kind_accuracy"):
        assert len(split_gap(history, metric)) == 3
    assert np.isfinite(history["kind_accuracy_memorization_and_data_error"])


def test_class_weights_as_the_docstring_has_them_are_a_part_of_their_own():
    weights = np.array([1.0, 5.0] * 5)
    model = network(rate=0.0)
    fit_data = (X, Y, weights[Y.argmax(axis=1)])
    loss_gap = LossGap(X, Y, batch_size=32, fit_data=fit_data)
    history = fit(model, BATCHES, loss_gap, class_weight=dict(enumerate(weights)))
    parts = split_gap(history)
    expected = (losses_by_hand(model, X, Y) * (fit_data[2] - 1)).mean()
    assert expected > 1
    np.testing.assert_allclose(parts["augmentation_and_weights"], expected, rtol=1e-5)
    for name in ("timing", "regularization", "memorization_and_data"):
        np.testing.assert_allclose(parts[name], 0, atol=1e-5)
    assert history["timing_error"] == [0]
    # Weights of 2 double the luck of dropout, which both passes have.
    loss_gap = LossGap(X, Y, 16, fit_data=(X, Y, np.full(64, 2.0)))
    history = fit(network(layers.Dropout(0.5), rate=0.0), data_set(FEW, 16), loss_gap)
    expected = np.sqrt(2) * 2 * history["regularization_error"][0]
    assert history["timing_error"][0] == pytest.approx(expected, rel=1e-3)


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


def test_errors_are_those_of_single_batches_by_hand():
    (held_out, x), (held_out_labels, y) = (np.split(array, [100]) for array in TRAIN)
    keras.utils.set_random_seed(3)
    model = network(layers.Dropout(0.02), layers.Dense(32, "relu"))
    loss_gap = LossGap(x, y, 10, steps=11, held_out=(held_out, held_out_labels))
    validation = {"validation_data": data_set(TEST, 10)}
    history = fit(model, data_set((x, y), 10), loss_gap, **validation)

    def error(x, y, **options):
        losses = losses_by_hand(model, x, y).reshape(-1, 10).mean(axis=1)
        return 1.1 * np.std(losses, ddof=1) / np.sqrt(len(losses))

    # 11 of 22 batches are measured: half of the variance of the training data is left.
    training, held_out = (error(**loss_gap.data[x]) for x in ("x", "held_out"))
    expected = {"timing": training * np.sqrt(1 / 2)}  # of dropout there is little
    expected["memorization"] = np.hypot(expected["timing"], held_out)
    expected["data"] = np.hypot(held_out, error(*TEST))
    # The first eighth is 2 batches: 1 / 2 + 1 / 11 - 1 / 22 of the variance of one.
    expected["first_batches"] = training * np.sqrt(11 / 2 + 1 / 2)
    for name, value in expected.items():
        assert history[f"{name}_error"] == [pytest.approx(value, rel=0.06)], name
    # The modes see the same batches: what these have in common is no error.
    assert 0 < history["regularization_error"][0] < training / 3


@pytest.mark.parametrize("batches", [2, 3, 4, 5, 6, 8, 15, 40])
def test_two_errors_hold_95_percent_of_few_batches_too(batches):
    draws = np.random.default_rng(batches).normal(size=(4000, batches))
    errors = [np.sqrt(variance(np.array([draw, draw]))) for draw in draws]
    inside = np.abs(draws.mean(axis=1)) <= 2 * np.array(errors)
    assert inside.mean() == pytest.approx(0.95, abs=0.015)


def test_a_few_accuracies_that_are_alike_by_luck_have_no_error():
    losses, alike = np.random.default_rng(0).random(9), np.full(9, 0.75)
    assert np.isnan(variance(np.array([alike, losses])))
    assert np.isnan(variance(np.array([np.zeros(9), losses])))
    assert variance(np.array([alike, alike])) == variance(np.zeros((2, 1))) == 0


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


def test_every_metric_is_measured_as_evaluate_does_and_means_have_errors():
    kinds = keras.metrics
    others = [kinds.AUC(name="auc"), kinds.RootMeanSquaredError(name="rmse")]
    others += [kinds.F1Score(name="each_f1"), kinds.F1Score("macro", name="f1")]
    model = network(layers.Dropout(0.5))
    eager(model, metrics=["accuracy", *others])
    history = fit(model, BATCHES, LossGap(BATCHES), validation_data=TEST, epochs=2)
    expected = model.evaluate(BATCHES, verbose=0, return_dict=True)
    for metric in ("accuracy", "auc", "f1", "rmse"):
        value = history[f"inference_mode_{metric}"][-1]
        assert value == pytest.approx(float(expected[metric]), rel=1e-5)
        assert len(split_gap(history, metric)) == 3
        known = np.isfinite(history[f"{metric}_timing_error"]).all()
        assert known == (metric == "accuracy")
    assert not any("mode_each_f1" in name for name in history)
    assert history["training_mode_accuracy"] != history["inference_mode_accuracy"]


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 16

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return self.x[rows], self.y[rows]


def endless(x, y):
    for _ in range(100):
        yield x[:16], y[:16]
    raise AssertionError("all of it was asked for")


@pytest.mark.parametrize(
    "data, steps, size",
    [
        ((tf.constant(X), pd.DataFrame(Y)), None, 64),
        ((X.astype("float64"), Y.astype("int32")), None, 64),
        ((BATCHES,), None, 64),
        ((Batches(X, Y),), None, 64),
        ((BATCHES.repeat(),), 1, 32),
        ((endless(X, Y),), 1, 16),
    ],
    ids=["tensors and pandas", "dtypes", "tf.data", "PyDataset", "repeated", "endless"],
)
def test_data_of_each_kind_are_measured_as_fit_sees_them(data, steps, size):
    model = network()
    losses = measured(model, *data, steps=steps)
    expected = losses_by_hand(model, X[:size], Y[:size]).mean()
    assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-4)


def refused(message, *args, model=None, **options):
    """Assert that it is refused before an epoch is spent; return the error's words."""
    epochs = []
    started = LambdaCallback(lambda *epoch: epochs.append(epoch))
    with pytest.raises(Exception, match=message) as error:
        fit(model or network(), BATCHES, LossGap(*args, **options), started)
    assert epochs == []
    return str(error.value)


@pytest.mark.filterwarnings("ignore:Your input ran out of data", "ignore:LossGap")
def test_what_cannot_be_measured_is_refused_in_one_line(monkeypatch):
    class Endless(Batches):
        num_batches = None

    class OwnTestStep(keras.Sequential):
        def test_step(self, data):
            return {"d_loss": tf.constant(0.0)}

    own = eager(OwnTestStep(network().layers))
    without_loss = eager(keras.Sequential(network().layers), loss=None)
    for words in [
        refused("the batch_size of `fit`", X, Y),
        refused(r"x have \[63, 64\] entries", X, Y[:-1], 32),
        refused(r"held_out have \[10, 64\]", X, Y, 32, held_out=(X, Y[:10])),
        refused(r"x have \[0\] entries", X[:0], Y[:0], 32),
        refused("empty data", BATCHES.take(0)),
        refused("steps=", BATCHES.repeat()),
        refused("steps=", BATCHES.filter(lambda *_: True)),
        refused("held_out .*steps=", X, Y, 32, held_out=endless(X, Y)),
        refused("steps=", Endless(*FEW)),
        refused("no loss: .*own test_step", BATCHES, model=own),
        refused("arrays: for stateful=True", X, Y, 32, model=eager(stateful_model())),
        refused("No loss", BATCHES, model=without_loss),
    ]:
        assert "\n" not in words
    refused("shape", X, Y.argmax(axis=1), 32)  # in Keras' own words
    refused("shape", X, Y, 32, held_out=(X, Y[:, :3]))
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    words = refused("Graph execution", X, Y.argmax(axis=1) + 10, 32, model=model)
    assert "label value" in words  # all of it, and not only its first line
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    refused("needs Keras on TensorFlow", BATCHES)


def warnings_of(batches, *callbacks, model=None, **options):
    """The warnings of LossGap, which are of a line in this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model or network(), batches, *callbacks, **options)
    ours = [x for x in caught if "LossGap" in str(x.message)]
    assert {x.filename for x in ours} <= {__file__}
    return " ".join(str(x.message) for x in ours)


def test_a_data_set_with_other_batches_in_each_pass_is_warned_of():
    options = {"validation_data": TEST, "steps_per_epoch": 2}
    shuffled = tf.data.Dataset.from_tensor_slices(FEW).shuffle(64, seed=1).batch(32)
    generator = ((X[i : i + 9], Y[i : i + 9]) for i in range(50))
    for data in (shuffled, generator):
        words = warnings_of(BATCHES.repeat(), LossGap(data, steps=1), **options)
        assert "other batches in each pass" in words and "disturbs" in words
    for loss_gap in (LossGap(BATCHES), LossGap(X, Y, 16, steps=1)):
        assert warnings_of(shuffled.repeat(), loss_gap, **options) == ""


def test_weights_that_are_others_in_the_validation_are_warned_of():
    averaging = keras.optimizers.SGD(0.1, use_ema=True)
    swap, loss_gap, model = SwapEMAWeights(), LossGap(BATCHES), network()
    model.compile(averaging, LOSS, run_eagerly=True)
    for callbacks in ([loss_gap, swap], [swap, loss_gap]):
        words = warnings_of(BATCHES, *callbacks, model=model)
        assert "validated other weights" in words and "SwapEMAWeights" in words
    normalizing = network(layers.BatchNormalization(), layers.Dropout(0.5))
    for model in (normalizing, network(rate=np.nan)):  # the latter diverges
        assert warnings_of(BATCHES, LossGap(BATCHES), model=model, epochs=2) == ""


@pytest.mark.filterwarnings("error:LossGap")
def test_of_a_validation_that_is_not_seen_the_error_is_unknown():
    validates = LambdaCallback(on_epoch_end=lambda _, logs: logs.update(val_loss=2.0))
    history = fit(network(), BATCHES, validates, LossGap(BATCHES), validation_data=None)
    assert np.isnan(history["memorization_and_data_error"])
    assert history["timing_error"] == [0] and len(split_gap(history)) == 3


def test_no_validation_ends_the_training_after_its_first_epoch():
    epochs = []
    log = LambdaCallback(lambda epoch, logs: epochs.append(epoch))
    for options in ({"validation_data": None}, {"validation_freq": 2}):
        with pytest.raises(ValueError, match="validation_data, validation_freq=1"):
            fit(network(), BATCHES, LossGap(BATCHES), log, epochs=9, **options)
    assert epochs == [0, 0]


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


class OwnTrainStep(WithoutTraining):
    """Computes what Keras' own does, but sets the mode all the same."""

    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x, y, self(x, training=True))
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
        return {"loss": self._loss_tracker.result()}


def test_a_train_step_of_its_own_is_warned_of_and_measured_in_its_mode():
    model = eager(OwnTrainStep(network(layers.Dropout(0.9, seed=1)).layers))
    with pytest.warns(UserWarning, match="^LossGap: .*a train_step of its own: the p"):
        history = fit(model, BATCHES.repeat(9), LossGap(BATCHES.repeat(9), steps=18))
    parts = split_gap(history)  # it learns nothing
    # In Keras 3.5 the mode does not reach the layers.
    reaches = not np.array_equal(model(X, training=True), model(X, training=False))
    assert (parts["regularization"] > 0.5) == reaches
    assert abs(parts["timing"]) < 0.1


class EveryState(layers.Layer):
    """State that changes in both modes, of every kind that can be put back."""

    def __init__(self):
        super().__init__()
        self.noise = keras.random.SeedGenerator(1)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.counter = tf.Variable(0.0)

    def call(self, x):
        self.calls.assign_add(1.0)
        self.counter.assign_add(1.0)
        x += 0.01 * random.random() + 0.01 * np.random.random()
        x += 0.1 * keras.random.normal(keras.ops.shape(x), seed=self.noise)
        return x * (1 + 0.01 * (self.calls + self.counter))


def stateful_model():
    hidden = [keras.Input((28, 28, 1), batch_size=32), layers.Reshape((4, 196))]
    hidden += [EveryState(), layers.SimpleRNN(4, stateful=True, dropout=0.5)]
    hidden += [layers.BatchNormalization(), layers.GaussianNoise(0.1)]
    hidden += [layers.SpectralNormalization(layers.Dense(8))]
    return keras.Sequential([*hidden, layers.Dense(10, activation="softmax")])


def unbuilt_model():
    hidden = [layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5)]
    return keras.Sequential([layers.Flatten(), *hidden, layers.Dense(10, "softmax")])


@pytest.mark.filterwarnings("ignore:LossGap. `fit` validated other weights")
@pytest.mark.parametrize("make_model", [stateful_model, unbuilt_model])
def test_the_training_goes_on_as_if_nothing_had_been_measured(make_model):
    def trained(*callbacks):
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model = eager(make_model())
        history = fit(model, BATCHES.take(1), *callbacks)
        variables = [*model.variables, *model.optimizer.variables]
        state = {variable.path: variable.numpy() for variable in variables}
        counters = [x.counter for x in model.layers if isinstance(x, EveryState)]
        return history, {**state, "counters": [x.numpy() for x in counters]}

    expected_history, expected = trained()
    history, state = trained(LossGap(BATCHES.take(1), held_out=BATCHES.take(1)))
    assert {name: history[name] for name in expected_history} == expected_history
    # An unbuilt model gets the names of fit, too.
    assert list(state) == list(expected)
    np.testing.assert_equal(state, expected)


class Broken(layers.Layer):
    stop = None

    def call(self, x):
        if self.stop:
            raise self.stop
        return x


def test_state_is_put_back_after_an_error_and_after_ctrl_c():
    broken = Broken()
    model = network(layers.BatchNormalization(), layers.Dropout(0.5), broken)
    loss_gap = LossGap(BATCHES)
    fit(model, BATCHES, loss_gap)
    before = [variable.numpy() for variable in model.variables]
    for stop in (ZeroDivisionError, KeyboardInterrupt):
        broken.stop = stop
        with pytest.raises(stop):
            loss_gap.on_epoch_end(1, {"val_loss": 1.0})
        np.testing.assert_equal([x.numpy() for x in model.variables], before)
        assert not any("call" in vars(layer) for layer in model.layers)


def test_what_fit_reports_does_not_change_and_later_callbacks_see_more(tmp_path):
    model = eager(network(), metrics=["accuracy"])
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(model, BATCHES, LossGap(BATCHES, held_out=BATCHES), log)
    evaluated = model.evaluate(BATCHES, verbose=0, return_dict=True)
    assert history["val_accuracy"] == [evaluated["accuracy"]]
    expected = {"loss", "accuracy", "val_loss", "val_accuracy", "held_out_loss"} | MODES
    more = {"first_batches_loss", "first_batches_accuracy", "held_out_accuracy"}
    more |= {name.replace("loss", "accuracy") for name in MODES}
    errors = {f"{part}_error" for part in [*split_gap(history), "first_batches"]}
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
    assert split_gap(load(tmp_path / "own.pickle"), "accuracy")
