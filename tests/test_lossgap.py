"""The losses of LossGap against loops written by hand, and the training with it."""

import re
import runpy
import shutil
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from keras import layers

from pyimagesearch.dataset import load_data
from pyimagesearch.gap import split_gap
from pyimagesearch.lossgap import LossGap
from pyimagesearch.minivggnet import MiniVGGNet

MODES = {"training_mode_loss", "inference_mode_loss"}


@pytest.fixture(scope="module")
def data():
    """Images and one-hot labels: `(x_train, y_train), (x_test, y_test)`."""
    return [
        (x[..., np.newaxis].astype("float32") / 255, np.eye(10, dtype="float32")[y])
        for x, y in load_data()
    ]


@pytest.fixture(scope="module")
def few(data):
    """The first 64 training images and their labels."""
    (x_train, y_train), _ = data
    return x_train[:64], y_train[:64]


def network(*hidden, **dense):
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            *hidden,
            layers.Dense(10, activation="softmax", **dense),
        ]
    )


def fit(model, x, y, *callbacks, rate=1e-2, epochs=1, compiled=True, **options):
    """Train a model eagerly, which is faster for so few images; return its history."""
    if compiled:
        model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
        model.optimizer.learning_rate = rate
    options = {"x": x, "y": y, "validation_data": (x, y), "verbose": 0, **options}
    return model.fit(epochs=epochs, callbacks=list(callbacks), **options).history


def measured(model, *args, compiled=True, **options):
    """What LossGap adds to the logs after an epoch."""
    if compiled:
        model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    loss_gap = LossGap(*args, **options)
    loss_gap.set_model(model)
    loss_gap.on_train_begin()
    logs = {}
    loss_gap.on_epoch_end(0, logs)
    return logs


def by_hand(predict, x, y, batch_size=32, weights=1):
    """The mean loss, batch by batch, in the order of the images."""
    starts = range(0, len(x), batch_size)
    y_pred = np.concatenate([predict(x[i : i + batch_size]) for i in starts])
    return np.mean(crossentropy(y, y_pred) * weights)


def crossentropy(y, y_pred):
    loss = keras.losses.categorical_crossentropy(y, keras.ops.cast(y_pred, "float32"))
    return keras.ops.convert_to_numpy(loss)


def in_mode(model, training):
    return lambda x: model(x, training=training)


# MiniVGGNet


def with_batch_statistics(model):
    def predict(x):
        for layer in model.layers:
            x = layer(x, training=isinstance(layer, layers.BatchNormalization))
        return x

    return predict


def test_all_losses_of_minivggnet_are_those_of_a_loop_by_hand(data):
    (x, y), (x_test, y_test) = data
    keras.utils.set_random_seed(1)
    model = MiniVGGNet.build(width=28, height=28, depth=1, classes=10)
    loss_gap = LossGap(x[:80], y[:80], held_out=(x[80:112], y[80:112]))
    validation = x_test[:64], y_test[:64]
    history = fit(model, x[:80], y[:80], loss_gap, validation_data=validation)

    x_mixed, y_mixed = loss_gap.data["x"], loss_gap.data["y"]
    assert {image.tobytes() for image in x_mixed} == {im.tobytes() for im in x[:80]}
    inference = in_mode(model, False)
    expected = {
        "inference_mode_loss": by_hand(inference, x_mixed, y_mixed),
        "held_out_loss": by_hand(inference, x[80:112], y[80:112]),
        "batch_statistics_loss": by_hand(
            with_batch_statistics(model), x_mixed, y_mixed
        ),
        # The seeds of dropout were put back: they are those of the measurement.
        "training_mode_loss": by_hand(in_mode(model, True), x_mixed, y_mixed),
    }
    for name, loss in expected.items():
        np.testing.assert_allclose(history[name], [loss], rtol=1e-4, err_msg=name)

    # After so few updates the moving averages are far behind.
    parts = split_gap(history)
    assert len(parts) == 5
    np.testing.assert_allclose(
        sum(parts.values()), np.subtract(history["loss"], history["val_loss"])
    )
    assert parts["regularization"] > 0.05 and parts["batch_normalization"] < -0.05


# Batch normalization


class OwnNormalization(layers.BatchNormalization):
    pass


class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.steps = {"all": [layers.BatchNormalization(), layers.Activation("relu")]}

    def call(self, x):
        for step in self.steps["all"]:
            x = step(x)
        return x


@pytest.mark.parametrize(
    "make",
    [
        layers.BatchNormalization,
        OwnNormalization,
        Block,
        lambda: keras.Sequential(
            [
                keras.Input((784,)),
                keras.Sequential([keras.Input((784,)), layers.BatchNormalization()]),
            ]
        ),
        lambda: keras.Sequential(
            [
                keras.Input((784,)),
                layers.Reshape((28, 28)),
                layers.TimeDistributed(layers.BatchNormalization()),
                layers.Flatten(),
            ]
        ),
    ],
    ids=["plain", "subclass", "in a list", "nested", "TimeDistributed"],
)
def test_all_that_batch_normalization_does_is_its_part(few, make):
    model = network(make())
    losses = measured(model, *few)
    training, statistics, inference = losses.values()
    assert training == pytest.approx(statistics, abs=1e-5)
    assert abs(statistics - inference) > 1e-2
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


def test_a_compiled_model_has_the_same_losses(few):
    model = network(layers.BatchNormalization())
    expected = measured(model, *few)
    for options in ({}, {"jit_compile": True}):
        model.compile("sgd", "categorical_crossentropy", **options)
        assert measured(model, *few, compiled=False) == pytest.approx(expected)


def test_without_batch_normalization_nothing_is_measured_twice(few):
    losses = measured(network(layers.Dropout(0.9)), *few)
    assert set(losses) == MODES
    # Dropout is on in training mode.
    assert losses["training_mode_loss"] > losses["inference_mode_loss"] + 0.1


class InInferenceMode(keras.Model):
    """A model that uses its batch normalization in inference mode only."""

    def __init__(self):
        super().__init__()
        self.flatten = layers.Flatten()
        self.normalize = layers.BatchNormalization()
        self.classify = layers.Dense(10, activation="softmax")

    def call(self, x):
        return self.classify(self.normalize(self.flatten(x), training=False))


def test_batch_normalization_that_fit_leaves_in_inference_mode_has_no_part(few):
    frozen = layers.BatchNormalization()
    frozen.trainable = False
    for model in (network(frozen), InInferenceMode()):
        training, statistics, inference = measured(model, *few).values()
        assert training == pytest.approx(inference, abs=1e-6)
        assert statistics == pytest.approx(inference, abs=1e-6)


def test_averages_of_one_single_batch_are_its_statistics(few):
    model = network(layers.BatchNormalization(momentum=0))
    history = fit(model, *few, LossGap(*few, batch_size=64), batch_size=64, epochs=2)
    np.testing.assert_allclose(split_gap(history)["batch_normalization"], 0, atol=1e-4)


# The same examples in all modes


def test_sorted_labels_are_no_regularization(data):
    (x, y), _ = data
    order = np.argsort(y.argmax(axis=1), kind="stable")
    training, inference = measured(network(), x[order], y[order], steps=2).values()
    assert training == pytest.approx(inference, abs=1e-6)
    # And the batches are mixed like those of the training.
    mixed = LossGap(x[order], y[order]).data["y"]
    assert len({*mixed[:64].argmax(axis=1)}) >= 8


def test_a_model_with_several_steps_per_execution_measures_the_same(few):
    model = network()
    model.compile("sgd", "categorical_crossentropy", steps_per_execution=2)
    losses = measured(model, *few, batch_size=8, steps=3, compiled=False)
    training, inference = losses.values()
    assert training == pytest.approx(inference, abs=1e-6)


# As fit computes it


def test_penalties_and_sparse_labels_are_no_part_of_the_gap(few):
    x, y = few
    penalty = keras.regularizers.L2(0.01)
    options = {"kernel_regularizer": penalty, "activity_regularizer": penalty}
    model = network(**options)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.optimizer.learning_rate = 0.0
    labels = y.argmax(axis=1)
    history = fit(model, x, labels, LossGap(x, labels), compiled=False)
    for name in MODES:
        np.testing.assert_allclose(history[name], history["val_loss"], rtol=1e-5)
        np.testing.assert_allclose(history[name], history["loss"], rtol=1e-5)


def test_the_mode_is_set_where_fit_sets_it(few):
    class WithoutMode(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = keras.Sequential([layers.Flatten(), layers.Dropout(0.9)])
            self.classify = layers.Dense(10, activation="softmax")

        def call(self, x):
            return self.classify(self.network(x))

    class Stricter(keras.Sequential):
        def compute_loss(self, x, y, y_pred, sample_weight, training):
            loss = super().compute_loss(x, y, y_pred, sample_weight)
            return loss + (1.0 if training else 0.0)

    for model, expected in [(WithoutMode(), 0), (Stricter(network().layers), 1)]:
        parts = split_gap(fit(model, *few, LossGap(*few), rate=0.0))
        np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
        np.testing.assert_allclose(parts["regularization"], expected, atol=1e-5)


def test_mixed_precision_casts_the_inputs_as_fit_does(few):
    x, y = few
    x = np.floor(x * 2999)  # above 2048 float16 has no odd numbers
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        first = layers.Embedding(3000, 2, dtype="float32")
        head = [layers.Flatten(), layers.Dense(10, activation="softmax")]
        model = keras.Sequential([keras.Input((28, 28, 1)), first, *head])
        model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
        losses = measured(model, x, y, compiled=False)
        expected = model.evaluate(x, y, verbose=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert [*losses.values()] == pytest.approx([expected] * 2, rel=1e-3)


def test_weights_of_several_inputs_and_outputs_count_as_in_evaluate(few):
    x, y = few
    inputs = [keras.Input((28, 28, 1)), keras.Input((28, 28, 1))]
    flat = [layers.Flatten()(part) for part in inputs]
    outputs = [layers.Dense(10, activation="softmax")(part) for part in flat]
    model = keras.Model(inputs, outputs)
    loss = "categorical_crossentropy"
    model.compile("sgd", [loss, loss], run_eagerly=True)
    x, y = [x, 1 - x], [y, y[::-1]]
    weights = [np.linspace(0, 4, 64), np.linspace(3, 0, 64)]
    options = {"sample_weight": weights, "held_out": (x, y, weights)}
    losses = measured(model, x, y, **options, compiled=False)
    expected = model.evaluate(x, y, sample_weight=weights, verbose=0)[0]
    assert abs(expected - model.evaluate(x, y, verbose=0)[0]) > 0.01
    assert [*losses.values()] == pytest.approx([expected] * 3, rel=1e-5)


def test_dicts_are_measured(few):
    image = keras.Input((28, 28, 1), name="image")
    flat = layers.Flatten()(image)
    outputs = {
        "kind": layers.Dense(10, activation="softmax", name="kind")(flat),
        "light": layers.Dense(1, name="light")(flat),
    }
    model = keras.Model({"image": image}, outputs)
    losses = {"kind": "categorical_crossentropy", "light": "mse"}
    weights = {"kind": 1, "light": 0.5}
    model.compile("sgd", losses, loss_weights=weights, run_eagerly=True)
    x, y = few
    x, y = {"image": x}, {"kind": y, "light": x.mean(axis=(1, 2))}
    expected = model.evaluate(x, y, verbose=0)[0]
    losses = measured(model, x, y, compiled=False)
    assert [*losses.values()] == pytest.approx([expected] * 2, rel=1e-5)


def test_class_weights_as_the_docstring_has_them_are_no_timing_part(few):
    x, y = few
    weights = np.array([1.0, 5.0] * 5)[y.argmax(axis=1)]
    model = network()
    options = {"rate": 0.0, "class_weight": dict(enumerate([1.0, 5.0] * 5))}
    history = fit(model, x, y, LossGap(x, y, sample_weight=weights), **options)
    np.testing.assert_allclose(split_gap(history)["timing"], 0, atol=1e-5)
    expected = by_hand(in_mode(model, False), x, y, weights=weights)
    np.testing.assert_allclose(history["training_mode_loss"], [expected], rtol=1e-5)


def test_tensors_and_other_dtypes_are_measured_as_fit_sees_them(few):
    x, y = few
    model = network()
    for x_train in (x.astype("float64"), tf.constant(x)):
        losses = measured(model, x_train, y.astype("int32"))
        expected = by_hand(in_mode(model, False), x, y)
        assert [*losses.values()] == pytest.approx([expected] * 2, rel=1e-5)


# Data sets


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


def test_data_sets_are_used_as_they_are(few):
    x, y = few
    batches = tf.data.Dataset.from_tensor_slices(few).batch(16)
    for data_set, steps, size in [
        (batches, None, 64),
        (Batches(x, y), None, 64),
        (batches.repeat(), 2, 32),
        (endless(x, y), 1, 16),
    ]:
        model = network(layers.BatchNormalization())
        losses = measured(model, data_set, steps=steps)
        expected = by_hand(in_mode(model, True), x[:size], y[:size], 16)
        assert losses["training_mode_loss"] == pytest.approx(expected, rel=1e-4)


# What is refused, and when


class Started(keras.callbacks.Callback):
    epochs = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs += 1


def refused(few, message, *args, model=None, compiled=True, **options):
    """Assert that it is refused before an epoch is spent; return the error's words."""
    started = Started()
    model = model or network()
    with pytest.raises(Exception, match=message) as error:
        fit(model, *few, LossGap(*args, **options), started, compiled=compiled)
    assert started.epochs == 0
    return str(error.value)


def test_what_cannot_be_measured_is_refused_in_one_line(few):
    x, y = few
    batches = tf.data.Dataset.from_tensor_slices(few).batch(16)

    class Endless(Batches):
        num_batches = None

    class OwnTestStep(keras.Sequential):
        def test_step(self, data):
            return {"d_loss": tf.constant(0.0)}

    own_test_step = OwnTestStep(network().layers)
    without_loss = network()
    without_loss.compile("sgd", run_eagerly=True)
    for words in [
        refused(few, "x have 63 and 64 entries", x, y[:-1]),
        refused(few, "held_out have 10 and 64", x, y, held_out=(x, y[:10])),
        refused(few, "x have 0 entries", x[:0], y[:0]),
        refused(few, "the data are empty", batches.take(0)),
        refused(few, "steps=", batches.repeat()),
        refused(few, "held_out .*steps=", x, y, held_out=endless(x, y)),
        refused(few, "steps=", Endless(*few)),
        refused(few, "returns no 'loss'", x, y, model=own_test_step),
        refused(few, "No loss", x, y, model=without_loss, compiled=False),
    ]:
        assert "\n" not in words


def test_data_that_do_not_fit_the_model_are_refused_in_keras_words(few):
    x, y = few
    refused(few, "shape", x, y.argmax(axis=1))
    refused(few, "shape", x, y, held_out=(x, y[:, :3]))
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    labels = y.argmax(axis=1)
    arguments = {"model": model, "compiled": False}
    words = refused((x, labels), "Graph execution", x, labels + 10, **arguments)
    assert "label value" in words  # all of it, and not only its first line


# What is put back


class EveryState(layers.Layer):
    """State that changes in both modes, of every kind that can be put back."""

    def __init__(self):
        super().__init__()
        self.noise = keras.random.SeedGenerator(1)
        self.keras_counter = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="counter"
        )
        self.tensorflow_counter = tf.Variable(0.0)

    def call(self, x):
        self.keras_counter.assign_add(1.0)
        self.tensorflow_counter.assign_add(1.0)
        x += 0.1 * keras.random.normal(keras.ops.shape(x), seed=self.noise)
        return x * (1 + 0.01 * (self.keras_counter + self.tensorflow_counter))


def stateful_model():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), batch_size=32),
            layers.Reshape((4, 196)),
            EveryState(),
            layers.LSTM(4, stateful=True, dropout=0.5),
            layers.BatchNormalization(),
            layers.SpectralNormalization(layers.Dense(8)),
            layers.GaussianNoise(0.1),
            layers.Dense(10, activation="softmax"),
        ]
    )


def unbuilt_model():
    hidden = [layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5)]
    return keras.Sequential([layers.Flatten(), *hidden, layers.Dense(10, "softmax")])


@pytest.mark.parametrize("make_model", [stateful_model, unbuilt_model])
def test_the_training_goes_on_as_if_nothing_had_been_measured(few, make_model):
    def trained(*callbacks):
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model = make_model()
        model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
        data = tf.data.Dataset.from_tensor_slices(few).batch(32)
        options = {"epochs": 2, "compiled": False, "validation_data": data}
        history = fit(model, data, None, *callbacks, **options)
        variables = [*model.variables, *model.optimizer.variables]
        state = {variable.path: variable.numpy() for variable in variables}
        for layer in model.layers:
            if isinstance(layer, EveryState):
                state["counter"] = layer.tensorflow_counter.numpy()
        return history, state

    expected_history, expected = trained()
    history, state = trained(LossGap(*few, held_out=few))
    assert {name: history[name] for name in expected_history} == expected_history
    assert list(state) == list(expected)  # an unbuilt model gets the names of fit, too
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


def test_state_is_put_back_after_an_error_and_after_ctrl_c(few):
    class Broken(layers.Layer):
        stop = None

        def call(self, x):
            if self.stop:
                raise self.stop
            return x

    broken = Broken()
    model = network(layers.BatchNormalization(), layers.Dropout(0.5), broken)
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    loss_gap = LossGap(*few)
    fit(model, *few, loss_gap, compiled=False)
    before = [variable.numpy() for variable in model.variables]
    for stop in (ZeroDivisionError, KeyboardInterrupt):
        broken.stop = stop
        with pytest.raises(stop):
            loss_gap.on_epoch_end(1, {})
        for variable, expected in zip(model.variables, before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), expected)
        assert not any("call" in vars(layer) for layer in model.layers)


class Look(layers.Layer):
    """Notes each call: whether it is eager, or traced."""

    def __init__(self):
        super().__init__()
        self.eager = []

    def call(self, x):
        self.eager.append(tf.executing_eagerly())
        return x


def test_an_eager_model_is_measured_eagerly(few):
    look = Look()
    model = network(look, layers.BatchNormalization())
    loss_gap = LossGap(*few)
    fit(model, *few, loss_gap)
    look.eager.clear()
    loss_gap.on_epoch_end(1, {})
    assert look.eager == [True] * 6  # two batches, in three modes


# Around it


def test_what_fit_reports_does_not_change_and_later_callbacks_see_more(few, tmp_path):
    model = network()
    loss = "categorical_crossentropy"
    model.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(model, *few, LossGap(*few, held_out=few), log, compiled=False)
    evaluated = model.evaluate(*few, verbose=0, return_dict=True)
    assert history["val_accuracy"] == [evaluated["accuracy"]]
    expected = {"loss", "accuracy", "val_loss", "val_accuracy", "held_out_loss"} | MODES
    assert set(history) == expected
    columns = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert set(columns) == {"epoch"} | expected


def test_the_readmes_example_runs_as_it_stands(few, capsys, monkeypatch):
    x, y = few
    readme = (ROOT / "README.md").read_text("utf-8")
    (example,) = re.findall("```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.syspath_prepend(ROOT / "pyimagesearch")
    model = network(layers.Dropout(0.5))
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    names = {"model": model, "x_train": x, "y_train": y, "x_val": x, "y_val": y}
    exec(example, names)  # noqa: S102 - it is ours
    assert "regular-" in capsys.readouterr().out


def test_two_files_copied_into_an_empty_folder_are_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "pyimagesearch", None)  # importing it is an error
    for name in ("lossgap.py", "gap.py"):
        shutil.copy(ROOT / "pyimagesearch" / name, tmp_path)
        runpy.run_path(name)


# Memorization, or easier images?


def test_images_known_by_heart_are_memorization_and_easier_ones_are_data(data):
    (x_train, _), (x_test, _) = data
    chance = np.random.default_rng(1)
    x = np.concatenate([x_train, x_test])[chance.permutation(420)]
    y = np.eye(10, dtype="float32")[chance.integers(10, size=420)]  # random labels
    keras.utils.set_random_seed(1)
    model = network(layers.Dense(256, activation="relu"))
    model.compile(keras.optimizers.Adam(3e-3), "categorical_crossentropy")
    loss_gap = LossGap(x[:100], y[:100], held_out=(x[100:260], y[100:260]))
    batches = tf.data.Dataset.from_tensor_slices((x[:100], y[:100])).batch(32)
    options = {"compiled": False, "validation_data": (x[260:], y[260:])}
    history = fit(model, batches.repeat(30), None, loss_gap, **options)
    parts = split_gap(history)
    assert history["inference_mode_loss"][-1] < 0.5
    assert parts["memorization"][-1] < -2
    # As far as samples of 160 images tell.
    assert abs(parts["data"][-1]) < abs(parts["memorization"][-1]) / 8

    surest = np.argsort(crossentropy(y[260:], model.predict(x[260:], verbose=0)))[:40]
    easier = model.evaluate(x[260:][surest], y[260:][surest], verbose=0)
    easier_parts = split_gap({**history, "val_loss": [easier]})
    assert easier_parts["data"][0] > 1
    assert easier_parts["memorization"] == parts["memorization"]
