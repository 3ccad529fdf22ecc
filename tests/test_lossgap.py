"""LossGap with models and data of all kinds; with MiniVGGNet in test_fashion_mnist.py."""

import random
import re
import shutil
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import ROOT
from keras import layers

from pyimagesearch.dataset import load_data
from pyimagesearch.gap import split_gap
from pyimagesearch.lossgap import LossGap

LOSS = "categorical_crossentropy"
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


@pytest.fixture(scope="module")
def batches(few):
    """The same as a data set, which costs Keras less than arrays."""
    return tf.data.Dataset.from_tensor_slices(few).batch(32)


def eager(model, loss=LOSS, **options):
    """Compile a model to run eagerly, which is faster for so few images."""
    model.compile("sgd", loss, run_eagerly=True, **options)
    return model


def network(*hidden, **dense):
    output = layers.Dense(10, activation="softmax", **dense)
    image = keras.Input((28, 28, 1))
    return eager(keras.Sequential([image, layers.Flatten(), *hidden, output]))


def fit(model, data_set, *callbacks, **options):
    options = {"validation_data": data_set, "shuffle": False, "verbose": 0, **options}
    return model.fit(data_set, callbacks=list(callbacks), **options).history


def measured(model, *args, **options):
    """What LossGap adds to the logs after an epoch."""
    loss_gap = LossGap(*args, **{"batch_size": 32, **options})
    keras.callbacks.CallbackList([loss_gap], add_history=True, model=model)
    loss_gap.on_train_begin()
    return loss_gap.measure()[0]


def by_hand(model, x, y, weights=1):
    """The mean loss in inference mode."""
    return np.mean(crossentropy(y, model(x, training=False)) * weights)


def crossentropy(y, y_pred):
    return keras.ops.convert_to_numpy(keras.losses.categorical_crossentropy(y, y_pred))


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


def nested():
    return keras.Sequential([keras.Input((784,)), OwnNormalization()])


def time_distributed():
    normalization = layers.TimeDistributed(layers.BatchNormalization())
    return keras.Sequential([layers.Reshape((4, 196)), normalization, layers.Flatten()])


@pytest.mark.parametrize("make", [Block, nested, time_distributed])
def test_all_that_batch_normalization_does_is_its_part(batches, make):
    model = network(make())
    training, statistics, inference = measured(model, batches).values()
    assert training == pytest.approx(statistics, abs=1e-5)
    assert abs(statistics - inference) > 1e-2
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


def test_a_compiled_model_has_the_same_losses(batches):
    model = network(layers.BatchNormalization())
    expected = measured(model, batches)
    model.compile("sgd", LOSS, jit_compile=True)
    assert measured(model, batches) == pytest.approx(expected)


def test_without_batch_normalization_dropout_is_all_of_the_difference(batches):
    losses = measured(network(layers.Dropout(0.9)), batches)
    assert set(losses) == MODES
    assert losses["training_mode_loss"] > losses["inference_mode_loss"] + 0.1


class WithoutMode(layers.BatchNormalization):
    def call(self, x):
        return super().call(x, training=False)


class InInferenceMode(keras.Model):
    """A model that uses its batch normalization in inference mode only."""

    def __init__(self):
        super().__init__()
        self.flatten = layers.Flatten()
        self.normalize = layers.BatchNormalization()
        self.classify = layers.Dense(10, activation="softmax")

    def call(self, x):
        return self.classify(self.normalize(self.flatten(x), training=False))


def test_batch_normalization_that_fit_leaves_in_inference_mode_has_no_part(batches):
    frozen = layers.BatchNormalization()
    frozen.trainable = False
    for model in (network(frozen), network(WithoutMode()), eager(InInferenceMode())):
        training, statistics, inference = measured(model, batches).values()
        assert training == pytest.approx(inference, abs=1e-6)
        assert statistics == pytest.approx(inference, abs=1e-6)


def test_averages_of_one_single_batch_are_its_statistics(few):
    model = network(layers.BatchNormalization(momentum=0))
    batch = tf.data.Dataset.from_tensors(few)
    history = fit(model, batch, LossGap(batch), epochs=2)
    np.testing.assert_allclose(split_gap(history)["batch_normalization"], 0, atol=1e-4)


# The same examples in all modes


def test_steps_of_arrays_are_one_random_sample_of_all_of_them(data):
    (x, y), _ = data
    order = np.argsort(y.argmax(axis=1), kind="stable")
    loss_gap = LossGap(x[order], y[order], batch_size=32, steps=2)
    sample = loss_gap.data["x"]
    assert len(sample["x"]) == len(sample["y"]) == 64
    assert len(set(sample["y"].argmax(axis=1))) >= 8
    labels = {image.tobytes(): label.argmax() for image, label in zip(x, y)}
    for image, label in zip(sample["x"], sample["y"]):
        assert labels[image.tobytes()] == label.argmax()
    # So it is in all modes.
    training, inference = measured(network(), x[order], y[order], steps=2).values()
    assert training == pytest.approx(inference, abs=1e-6)


def test_a_model_with_several_steps_per_execution_measures_the_same(few):
    model = network()
    model.compile("sgd", LOSS, steps_per_execution=2)
    batches = tf.data.Dataset.from_tensor_slices(few).batch(8)
    history = fit(model, batches, LossGap(batches))
    assert history["training_mode_loss"] == history["inference_mode_loss"]
    assert history["timing_error"] == [0]  # all of it is measured


# As fit computes it


def test_penalties_and_sparse_labels_are_no_part_of_the_gap(few):
    penalty = keras.regularizers.L2(0.01)
    model = network(kernel_regularizer=penalty, activity_regularizer=penalty)
    eager(model, "sparse_categorical_crossentropy").optimizer.learning_rate = 0.0
    x, y = few
    batches = tf.data.Dataset.from_tensor_slices((x, y.argmax(axis=1))).batch(32)
    history = fit(model, batches, LossGap(batches))
    for name in MODES:
        np.testing.assert_allclose(history[name], history["val_loss"], rtol=1e-5)
        np.testing.assert_allclose(history[name], history["loss"], rtol=1e-5)


def test_the_mode_is_set_where_fit_sets_it(batches):
    class ModelWithoutMode(keras.Model):
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

    for model, expected in [(ModelWithoutMode(), 0), (Stricter(network().layers), 1)]:
        eager(model).optimizer.learning_rate = 0.0
        parts = split_gap(fit(model, batches, LossGap(batches)))
        np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
        np.testing.assert_allclose(parts["regularization"], expected, atol=1e-5)


def test_mixed_precision_casts_the_inputs_as_fit_does(few):
    x, y = few
    x = np.floor(x * 2999)  # above 2048 float16 has no odd numbers
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        first = layers.Embedding(3000, 2, dtype="float32")
        head = [layers.Flatten(), layers.Dense(10, activation="softmax")]
        model = eager(keras.Sequential([keras.Input((28, 28, 1)), first, *head]))
        losses = measured(model, x, y)
        expected = model.evaluate(x, y, verbose=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-3)


def test_weights_of_several_inputs_and_outputs_count_as_in_evaluate(few):
    x, y = few
    inputs = [keras.Input((28, 28, 1)), keras.Input((28, 28, 1))]
    flat = [layers.Flatten()(part) for part in inputs]
    outputs = [layers.Dense(10, activation="softmax")(part) for part in flat]
    model = eager(keras.Model(inputs, outputs), [LOSS, LOSS])
    x, y = [x, 1 - x], [y, y[::-1]]
    weights = [np.linspace(0, 4, 64), np.linspace(3, 0, 64)]
    held_out = (x, y, weights)
    losses = measured(model, x, y, sample_weight=weights, held_out=held_out)
    expected = model.evaluate(x, y, sample_weight=weights, verbose=0)[0]
    assert abs(expected - model.evaluate(x, y, verbose=0)[0]) > 0.01
    assert list(losses.values()) == pytest.approx([expected] * 3, rel=1e-5)


def test_dicts_are_measured(few):
    x, y = few
    image = keras.Input((28, 28, 1), name="image")
    flat = layers.Flatten()(image)
    kind = layers.Dense(10, activation="softmax", name="kind")(flat)
    outputs = {"kind": kind, "light": layers.Dense(1, name="light")(flat)}
    model = eager(
        keras.Model({"image": image}, outputs), {"kind": LOSS, "light": "mse"}
    )
    x, y = {"image": x}, {"kind": y, "light": x.mean(axis=(1, 2))}
    expected = model.evaluate(x, y, verbose=0)[0]
    losses = measured(model, x, y)
    assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-5)


# What fit does to its data


def test_class_weights_as_the_docstring_has_them_are_a_part_of_their_own(few, batches):
    x, y = few
    weights = np.array([1.0, 5.0] * 5)[y.argmax(axis=1)]
    model = network()
    model.optimizer.learning_rate = 0.0
    class_weight = dict(enumerate([1.0, 5.0] * 5))
    loss_gap = LossGap(x, y, batch_size=32, fit_data=(x, y, weights))
    history = fit(model, batches, loss_gap, class_weight=class_weight)
    parts = split_gap(history)
    expected = by_hand(model, x, y, weights) - by_hand(model, x, y)
    assert expected > 1
    np.testing.assert_allclose(parts["augmentation_and_weights"], [expected], rtol=1e-5)
    for name in ("timing", "regularization", "memorization_and_data"):
        np.testing.assert_allclose(parts[name], 0, atol=1e-5)


def test_noise_in_the_data_set_of_fit_is_a_part_of_its_own(few):
    x, y = few

    def noisy(seed):
        noise = keras.random.SeedGenerator(seed)
        plain = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
        return plain.map(
            lambda x, y: (x + 2 * keras.random.normal(tf.shape(x), seed=noise), y)
        ).repeat(10)

    keras.utils.set_random_seed(1)
    model = network()
    model.optimizer.learning_rate = 0.0
    validation = {"validation_data": (x, y)}
    loss_gap = LossGap(x, y, batch_size=32, fit_data=noisy(2), steps=20)
    parts = split_gap(fit(model, noisy(1), loss_gap, **validation))
    assert parts["augmentation_and_weights"] > 0.5
    assert abs(parts["timing"]) < parts["augmentation_and_weights"] / 5


# Standard errors


def test_errors_are_those_of_the_losses_of_single_examples(data):
    (x, y), (x_val, y_val) = data
    keras.utils.set_random_seed(3)
    model = network(layers.Dropout(0.1), layers.Dense(32, "relu"))
    batches = tf.data.Dataset.from_tensor_slices((x[100:], y[100:])).batch(5)
    held_out = x[:100], y[:100]
    loss_gap = LossGap(x[100:], y[100:], 5, steps=22, held_out=held_out)
    validation = {"validation_data": (x_val, y_val), "validation_batch_size": 5}
    history = fit(model, batches, loss_gap, **validation)

    def error(x, y):
        losses = crossentropy(y, model(x, training=False))
        return np.std(losses, ddof=1) / np.sqrt(len(losses))

    # 22 of 44 batches are measured: half of the variance of the training data is left.
    sample = loss_gap.data["x"]
    training = error(sample["x"], sample["y"]) * np.sqrt(1 / 2)
    for name, expected in {
        "timing": training,
        "memorization": np.hypot(training, error(*held_out)),
        "data": np.hypot(error(*held_out), error(x_val, y_val)),
    }.items():
        assert history[f"{name}_error"] == [pytest.approx(expected, rel=0.25)], name
    # The modes see the same batches: what these have in common is no error.
    assert 0 < history["regularization_error"][0] < training / 3


def test_timing_has_an_error_unless_all_that_fit_trains_on_is_measured(few):
    finite = tf.data.Dataset.from_tensor_slices(few).batch(8)
    errors = []
    for data_set, steps in [(finite, 8), (finite, 1), (finite.repeat(), 8)]:
        loss_gap = LossGap(data_set, steps=steps)
        history = fit(network(), finite, loss_gap, validation_data=few)
        errors.append(history["timing_error"][0])
    all_of_them, one_batch, endless = errors
    assert all_of_them == 0 and np.isnan(one_batch) and endless > 0.01


def test_tensors_data_frames_and_other_dtypes_are_measured_as_fit_sees_them(few):
    x, y = few
    model = network()
    expected = by_hand(model, x, y)
    for labels in (y.astype("int32"), pd.DataFrame(y)):
        losses = measured(model, tf.constant(x), labels)
        assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-5)


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


def test_data_sets_are_used_as_they_are(few, batches):
    x, y = few
    model = network()
    for data_set, steps, size in [
        (batches, None, 64),
        (Batches(x, y), None, 64),
        (batches.repeat(), 1, 32),
        (endless(x, y), 1, 16),
    ]:
        losses = measured(model, data_set, steps=steps)
        expected = by_hand(model, x[:size], y[:size])
        assert list(losses.values()) == pytest.approx([expected] * 2, rel=1e-4)


# What is refused, and when


class Started(keras.callbacks.Callback):
    epochs = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs += 1


def refused(batches, message, *args, model=None, **options):
    """Assert that it is refused before an epoch is spent; return the error's words."""
    started = Started()
    with pytest.raises(Exception, match=message) as error:
        fit(model or network(), batches, LossGap(*args, **options), started)
    assert started.epochs == 0
    return str(error.value)


@pytest.mark.filterwarnings("ignore:Your input ran out of data", "ignore:LossGap")
def test_what_cannot_be_measured_is_refused_in_one_line(few, batches):
    x, y = few

    class Endless(Batches):
        num_batches = None

    class OwnTestStep(keras.Sequential):
        def test_step(self, data):
            return {"d_loss": tf.constant(0.0)}

    own_test_step = eager(OwnTestStep(network().layers))
    without_loss = eager(keras.Sequential(network().layers), loss=None)
    for words in [
        refused(batches, "the batch_size of `fit`", x, y),
        refused(batches, "x have \\[63, 64\\] entries", x, y[:-1], 32),
        refused(batches, "held_out have \\[10, 64\\]", x, y, 32, held_out=(x, y[:10])),
        refused(batches, "x have \\[0\\] entries", x[:0], y[:0], 32),
        refused(batches, "are the data empty", batches.take(0)),
        refused(batches, "steps=", batches.repeat()),
        refused(batches, "steps=", batches.filter(lambda x, y: True)),
        refused(batches, "held_out .*steps=", x, y, 32, held_out=endless(x, y)),
        refused(batches, "steps=", Endless(*few)),
        refused(
            batches, "a test_step of its own: .*measured", batches, model=own_test_step
        ),
        refused(batches, "No loss", batches, model=without_loss),
    ]:
        assert "\n" not in words


def test_data_that_do_not_fit_the_model_are_refused_in_keras_words(few, batches):
    x, y = few
    refused(batches, "shape", x, y.argmax(axis=1), 32)
    refused(batches, "shape", x, y, 32, held_out=(x, y[:, :3]))
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    labels = y.argmax(axis=1)
    words = refused(batches, "Graph execution", x, labels + 10, 32, model=model)
    assert "label value" in words  # all of it, and not only its first line


# A model with methods of its own


class OwnTrainStep(keras.Sequential):
    """Computes what Keras' own does, but sets the mode whatever `call` takes."""

    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x, y, self(x, training=True))
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
        return {"loss": self._loss_tracker.result()}

    def call(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_a_train_step_of_its_own_is_warned_of_and_measured_in_its_mode(few, batches):
    model = eager(OwnTrainStep(network(layers.Dropout(0.9, seed=1)).layers))
    with pytest.warns(
        UserWarning, match="^LossGap: .*a train_step of its own: the parts"
    ):
        history = fit(model, batches.repeat(20), LossGap(batches.repeat(20), steps=40))
    parts = split_gap(history)  # it learns nothing
    # In Keras 3.5 the mode does not reach the layers.
    x, _ = few
    reaches = not np.array_equal(model(x, training=True), model(x, training=False))
    assert (parts["regularization"] > 0.5) == reaches
    assert abs(parts["timing"]) < 0.1


def test_another_backend_is_refused_at_the_start(batches, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    refused(batches, "needs Keras on TensorFlow", batches)


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
        x += 0.01 * random.random() + 0.01 * np.random.random()
        x += 0.1 * keras.random.normal(keras.ops.shape(x), seed=self.noise)
        return x * (1 + 0.01 * (self.keras_counter + self.tensorflow_counter))


def stateful_model():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), batch_size=32),
            layers.Reshape((4, 196)),
            EveryState(),
            layers.SimpleRNN(4, stateful=True, dropout=0.5),
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
def test_the_training_goes_on_as_if_nothing_had_been_measured(batches, make_model):
    def trained(*callbacks):
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model = eager(make_model())
        history = fit(model, batches.take(1), *callbacks, epochs=2)
        variables = [*model.variables, *model.optimizer.variables]
        state = {variable.path: variable.numpy() for variable in variables}
        for layer in model.layers:
            if isinstance(layer, EveryState):
                state["counter"] = layer.tensorflow_counter.numpy()
        return history, state

    expected_history, expected = trained()
    history, state = trained(LossGap(batches.take(1), held_out=batches.take(1)))
    assert {name: history[name] for name in expected_history} == expected_history
    assert list(state) == list(expected)  # an unbuilt model gets the names of fit, too
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


def test_state_is_put_back_after_an_error_and_after_ctrl_c(batches):
    class Broken(layers.Layer):
        stop = None

        def call(self, x):
            if self.stop:
                raise self.stop
            return x

    broken = Broken()
    model = network(layers.BatchNormalization(), layers.Dropout(0.5), broken)
    loss_gap = LossGap(batches)
    fit(model, batches, loss_gap)
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


def test_an_eager_model_is_measured_eagerly(batches):
    look = Look()
    loss_gap = LossGap(batches)
    fit(network(look, layers.BatchNormalization()), batches, loss_gap)
    look.eager.clear()
    loss_gap.on_epoch_end(1, {})
    assert look.eager == [True] * 6  # two batches, in three modes


# Around it


def test_what_fit_reports_does_not_change_and_later_callbacks_see_more(
    batches, tmp_path
):
    model = eager(network(), metrics=["accuracy"])
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(model, batches, LossGap(batches, held_out=batches), log)
    evaluated = model.evaluate(batches, verbose=0, return_dict=True)
    assert history["val_accuracy"] == [evaluated["accuracy"]]
    expected = {"loss", "accuracy", "val_loss", "val_accuracy", "held_out_loss"} | MODES
    errors = {f"{part}_error" for part in split_gap(history)}
    assert set(history) == expected | errors
    columns = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert set(columns) == {"epoch"} | expected


def test_two_files_copied_elsewhere_are_enough_for_the_readmes_example(
    few, tmp_path, capsys, monkeypatch
):
    for name in ("lossgap.py", "gap.py"):
        shutil.copy(ROOT / "pyimagesearch" / name, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "pyimagesearch", None)  # importing it is an error
    readme = (ROOT / "README.md").read_text("utf-8")
    (example,) = re.findall("```python\n(.*?)```", readme, re.DOTALL)
    x, y = few
    model = network(layers.Dropout(0.5))
    names = {"model": model, "x_train": x, "y_train": y, "x_val": x, "y_val": y}
    exec(example, names)  # noqa: S102 - it is ours
    assert "regular-" in capsys.readouterr().out


# Memorization, or easier images?


def test_images_known_by_heart_are_memorization_and_easier_ones_are_data(data):
    (x_train, _), (x_test, _) = data
    chance = np.random.default_rng(1)
    x = np.concatenate([x_train, x_test])[chance.permutation(420)]
    y = np.eye(10, dtype="float32")[chance.integers(10, size=420)]  # random labels
    keras.utils.set_random_seed(1)
    model = network(layers.Dense(256, activation="relu"))
    model.compile(keras.optimizers.Adam(3e-3), LOSS)
    loss_gap = LossGap(x[:100], y[:100], 32, held_out=(x[100:260], y[100:260]))
    batches = tf.data.Dataset.from_tensor_slices((x[:100], y[:100])).batch(32)
    x_val, y_val = x[260:], y[260:]
    history = fit(model, batches.repeat(30), loss_gap, validation_data=(x_val, y_val))
    parts = split_gap(history)
    assert history["inference_mode_loss"][-1] < 0.5
    assert parts["memorization"][-1] < -2
    # As far as samples of 160 images tell.
    assert abs(parts["data"][-1]) < abs(parts["memorization"][-1]) / 8

    surest = np.argsort(crossentropy(y_val, model.predict(x_val, verbose=0)))[:40]
    easier = model.evaluate(x_val[surest], y_val[surest], verbose=0)
    easier_parts = split_gap({**history, "val_loss": [easier]})
    assert easier_parts["data"][0] > 1
    assert easier_parts["memorization"] == parts["memorization"]
