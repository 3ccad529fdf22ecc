"""Each mode measures what `fit` and the validation do, and is put back."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import BATCHES, FEW, X, Y, data_set, eager, f1, fit, measured, network
from keras import layers

from pyimagesearch.lossgap import LossGap, split_gap
from pyimagesearch.lossgap.modes import Mode


class Block(layers.Layer):
    def __init__(self, **mode):
        super().__init__()
        self.steps, self.mode = {"first": [layers.BatchNormalization()]}, mode

    def call(self, x):
        return self.steps["first"][0](x, **self.mode)


@pytest.mark.filterwarnings("error:LossGap")
def test_all_that_batch_normalization_does_is_its_part():
    in_a_model = keras.Sequential([keras.Input((784,)), layers.BatchNormalization()])
    in_a_wrapper = layers.TimeDistributed(layers.BatchNormalization())
    wrapped = [layers.Reshape((4, 196)), in_a_wrapper, layers.Flatten()]
    model = network(Block(), in_a_model, *wrapped, rate=0.0)
    training, statistics, inference = measured(model, BATCHES).values()
    assert training == pytest.approx(statistics, abs=1e-5)
    assert abs(statistics - inference) > 1e-2
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


class WithoutMode(layers.BatchNormalization):
    def call(self, x):
        return super().call(x, training=False)


def test_batch_normalization_that_fit_leaves_in_inference_mode_has_no_part():
    frozen = layers.BatchNormalization()
    frozen.trainable = False
    model = network(frozen, WithoutMode(), Block(training=False), rate=0.0)
    training, *others = measured(model, BATCHES).values()
    assert others == pytest.approx([training] * 2, abs=1e-6)


@pytest.mark.parametrize("option", ["run_eagerly", "jit_compile"])
def test_each_mode_is_compiled_as_the_model(option):
    model = network()
    model.compile("sgd", "mse", **{option: True})
    assert getattr(Mode(model, training=True), option) is True


def test_penalties_and_sparse_labels_are_no_part_of_the_gap():
    penalty, loss = keras.regularizers.L2(0.01), "sparse_categorical_crossentropy"
    penalties = {"kernel_regularizer": penalty, "activity_regularizer": penalty}
    model = network(loss=loss, rate=0.0, **penalties)
    history = fit(model, data_set((X, Y.argmax(axis=1)), 32), LossGap())
    np.testing.assert_allclose(list(split_gap(history).values()), 0, atol=1e-5)


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
        parts = split_gap(fit(model, BATCHES, LossGap()))
        np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
        np.testing.assert_allclose(parts["regularization"], expected, atol=1e-5)


def test_mixed_precision_casts_the_inputs_as_fit_does():
    x = np.floor(X * 2999)  # above 2048 float16 has no odd numbers
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        first = layers.Embedding(3000, 2, dtype="float32")
        head = [layers.Flatten(), layers.Dense(10, activation="softmax")]
        model = keras.Sequential([keras.Input((28, 28, 1)), first, *head])
        eager(model, rate=0.0)
        batches = data_set((x, Y), 32)
        losses, expected = measured(model, batches), model.evaluate(batches, verbose=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-3)


def test_several_inputs_outputs_metrics_and_weights_count_as_in_evaluate():
    keras.utils.set_random_seed(1)
    inputs = [keras.Input((28, 28, 1)), keras.Input((28, 28, 1))]
    first, second = [layers.Flatten()(part) for part in inputs]
    kind = layers.Dense(10, activation="softmax", name="kind")(first)
    outputs = {"kind": kind, "light": layers.Dense(1, name="light")(second)}
    model = keras.Model(inputs, outputs)
    metrics = {"kind": ["accuracy", keras.metrics.AUC(20, name="auc")]}
    weighted = {"kind": [keras.metrics.AUC(20, name="weighted_auc")]}
    options = {"metrics": metrics, "weighted_metrics": weighted, "rate": 0.0}
    eager(model, {"kind": "poisson", "light": "mse"}, **options)
    x, y = [X, 1 - X], {"kind": Y, "light": X.mean(axis=(1, 2))}
    weights = {"kind": np.linspace(0, 4, 64), "light": np.linspace(3, 0, 64)}
    options = {"validation_data": (x, y, weights), "batch_size": 48}
    loss_gap = LossGap(held_out=(x, y, weights))
    history = fit(model, (x, y), loss_gap, sample_weight=weights, **options)
    expected = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert abs(expected["loss"] - model.evaluate(x, y, verbose=0)[0]) > 0.01
    assert abs(expected["kind_auc"] - expected["kind_weighted_auc"]) > 0.001
    names = ["loss", "kind_loss", "kind_accuracy", "kind_auc", "kind_weighted_auc"]
    for metric in names:
        value = pytest.approx(expected[metric], rel=1e-5)
        for mode in ("", "training_mode_", "inference_mode_", "held_out_"):
            assert history[mode + metric] == [value]
        if metric != "loss":
            assert np.isfinite(history[f"{metric}_data_error"])


class OwnTrainStep(WithoutTraining):
    """Computes what Keras' own does, but sets the mode all the same."""

    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x, y, self(x, training=True))
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
        return {"loss": self._loss_tracker.result()}


def test_a_train_step_of_its_own_is_warned_of_and_measured_in_its_mode():
    keras.utils.set_random_seed(1)
    layers_of_model = network(layers.Dropout(0.9)).layers
    model = eager(OwnTrainStep(layers_of_model), metrics=["accuracy"])  # not reported
    with pytest.warns(UserWarning, match="^LossGap: .*its own train_step: the p"):
        history = fit(model, BATCHES.repeat(6), LossGap())
    parts = split_gap(history)  # it learns nothing
    # In Keras 3.5 the mode does not reach the layers.
    reaches = not np.array_equal(model(X, training=True), model(X, training=False))
    assert (parts["regularization"] > 0.5) == reaches
    assert abs(parts["timing"]) <= 3 * history["timing_error"][0] < 0.5


class OwnLoss(keras.Model):
    """As the generative models of Keras' guides: the loss is in the train_step."""

    def train_step(self, data):
        return {"loss": tf.reduce_mean(data[0])}

    test_step = train_step


def test_a_model_whose_loss_is_elsewhere_is_refused_in_words():
    with_call = type("WithCall", (OwnLoss,), {"call": lambda self, x: x})
    for kind in (OwnLoss, with_call):
        model = kind()
        model.compile("sgd")
        with pytest.raises(ValueError, match=f"{kind.__name__} computes its loss else"):
            fit(model, BATCHES, LossGap())


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


def state_of(model):
    variables = model.variables + model.optimizer.variables + model.metrics_variables
    counters = [x.counter for x in model.layers if isinstance(x, EveryState)]
    return [(x.path, x.numpy()) for x in variables] + [x.numpy() for x in counters]


@pytest.mark.filterwarnings("ignore:LossGap")
@pytest.mark.parametrize(
    "make_model, size", [(stateful_model, 32), (unbuilt_model, 16)]
)
def test_the_training_goes_on_as_if_nothing_had_been_measured(make_model, size):
    def trained(*callbacks):
        keras.backend.clear_session(free_memory=False)  # quicker
        keras.utils.set_random_seed(1)
        # Of f1, batches of both sizes are compared.
        model = eager(make_model(), metrics=[f1])
        options = {"validation_data": data_set(FEW, size)}
        history = fit(model, BATCHES.take(1), *callbacks, **options)
        drawn_next = random.random(), np.random.random()
        return history, [state_of(model), drawn_next]

    expected_history, expected = trained()
    history, state = trained(LossGap(held_out=BATCHES))
    assert {name: history[name] for name in expected_history} == expected_history
    np.testing.assert_equal(state, expected)  # an unbuilt model's names, too


class Broken(layers.Layer):
    stop = None

    def call(self, x, training=False):
        if self.stop and not training:
            raise self.stop
        return x


@pytest.mark.parametrize("stop", [ZeroDivisionError, KeyboardInterrupt])
def test_a_pass_that_fails_does_so_after_a_batch_and_state_is_put_back(stop):
    def look(batch, logs):
        states.append(state_of(model))

    states, broken = [], Broken()
    model = network(layers.BatchNormalization(), layers.Dropout(0.5), broken)
    broken.stop = stop
    look_at_each = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    with pytest.raises(stop):
        fit(model, BATCHES, LossGap(), look_at_each)
    assert model.optimizer.iterations == 1
    np.testing.assert_equal(state_of(model), states[0])
    assert not any("call" in vars(layer) for layer in model.layers)
