"""The numbers of LossGap against loops written by hand, and the training with it."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from keras import layers

from pyimagesearch import dataset
from pyimagesearch.history import split_gap
from pyimagesearch.lossgap import LossGap
from pyimagesearch.minivggnet import MiniVGGNet

KERAS_3_0 = keras.__version__.startswith("3.0.")
MEASURED = {"training_mode_loss", "inference_mode_loss"}


@pytest.fixture(scope="module")
def data():
    return dataset.load_data()


@pytest.fixture(scope="module")
def few(data):
    """The first 64 training images and their labels."""
    (x_train, y_train), _ = data
    return x_train[:64], y_train[:64]


def network(*hidden, classes=10, **dense):
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            *hidden,
            layers.Dense(classes, activation="softmax", **dense),
        ]
    )


def batches(*data, batch_size=64):
    return tf.data.Dataset.from_tensor_slices(data).batch(batch_size)


def fit(*args, rate=1e-2, epochs=1, compiled=True, eager=True, **options):
    """Train a model and return its history: `fit(model, x, y, *callbacks)`.

    Eagerly and from a data set: with so few images TensorFlow's graphs, and what Keras
    makes of arrays, take longer than the training.
    """
    model, x, y, *callbacks = args
    if compiled:
        model.compile("sgd", "categorical_crossentropy", run_eagerly=eager)
        model.optimizer.learning_rate = rate
    data = {"x": batches(x, y), "validation_data": batches(x, y), "shuffle": False}
    options = {"callbacks": callbacks, "verbose": 0, **data, **options}
    return model.fit(epochs=epochs, **options).history


def by_hand(model, x, y, training, batch_size=32, weights=None):
    """The mean loss of the images, batch by batch, in their order."""
    losses = []
    for start in range(0, len(x), batch_size):
        y_pred = model(x[start : start + batch_size], training=training)
        losses.extend(crossentropy(y[start : start + batch_size], y_pred))
    assert len(losses) == len(x)
    return np.mean(losses if weights is None else losses * weights)


def crossentropy(y, y_pred):
    return keras.ops.convert_to_numpy(
        keras.losses.categorical_crossentropy(y, keras.ops.cast(y_pred, "float32"))
    )


def gap(history):
    return np.subtract(history["loss"], history["val_loss"])


# MiniVGGNet


def state(model):
    return [
        variable.numpy() for variable in model.variables + model.optimizer.variables
    ]


@pytest.fixture(scope="module")
def measured(data):
    """MiniVGGNet after an epoch, the history, and what was measured."""
    (x, y), (x_test, y_test) = data
    known, held_out = (x[:64], y[:64]), (x[64:96], y[64:96])
    keras.utils.set_random_seed(1)
    model = MiniVGGNet.build(width=28, height=28, depth=1, classes=10)
    gaps = LossGap(*known, held_out=held_out)
    options = {"x": batches(*known, batch_size=32)}
    options["validation_data"] = batches(x_test[:64], y_test[:64], batch_size=32)
    return model, fit(model, *known, gaps, **options), known, held_out


def test_the_parts_add_up_to_the_gap(measured):
    _, history, _, _ = measured
    parts = split_gap(history)
    assert len(parts) == 4
    np.testing.assert_allclose(sum(parts.values()), gap(history), atol=1e-12)
    assert all(np.abs(part).min() > 1e-3 for part in parts.values())


def test_inference_mode_and_held_out_loss_are_what_evaluate_returns(measured):
    model, history, known, held_out = measured
    assert history["inference_mode_loss"] == [model.evaluate(*known, verbose=0)]
    assert history["held_out_loss"] == [model.evaluate(*held_out, verbose=0)]


# The numbers


def test_training_mode_has_the_statistics_of_each_batch(few):
    model = network(layers.BatchNormalization())
    # Batches mix the images in an order of their own: here, all are in one.
    history = fit(model, *few, LossGap(*few, batch_size=64))
    expected = by_hand(model, *few, training=True, batch_size=64)
    others = by_hand(model, *few, training=True, batch_size=8)
    assert abs(others / expected - 1) > 1e-3
    np.testing.assert_allclose(history["training_mode_loss"][-1], expected, rtol=1e-5)
    assert abs(split_gap(history)["regularization"][-1]) > 1e-3


@pytest.mark.skipif(
    KERAS_3_0, reason="Keras 3.0 weighs a smaller batch like a full one"
)
def test_a_smaller_last_batch_weighs_less(few):
    model = network()
    history = fit(model, *few, LossGap(*few, batch_size=48))
    expected = by_hand(model, *few, training=True)
    for name in MEASURED:
        np.testing.assert_allclose(history[name][-1], expected, rtol=1e-5)


def test_batches_are_mixed_though_the_images_are_sorted(data):
    (x_train, y_train), _ = data
    x_train, y_train = x_train[:160], y_train[:160]
    order = np.argsort(y_train.argmax(axis=1), kind="stable")
    x_sorted, y_sorted = x_train[order], y_train[order]
    model = network(layers.BatchNormalization())
    gaps = LossGap(x_sorted, y_sorted)
    history = fit(model, x_train, y_train, gaps, rate=0.1)
    mixed = by_hand(model, x_train, y_train, training=True)
    of_one_class = by_hand(model, x_sorted, y_sorted, training=True)
    assert abs(of_one_class - mixed) > 0.3
    np.testing.assert_allclose(history["training_mode_loss"][-1], mixed, atol=0.1)


def test_the_order_is_the_same_in_every_epoch_and_takes_no_random_numbers(few):
    model = network(layers.BatchNormalization())
    np.random.seed(3)
    history = fit(model, *few, LossGap(*few), rate=0.0, epochs=3)
    drawn = np.random.random()
    np.random.seed(3)
    assert np.random.random() == drawn
    assert len(set(history["training_mode_loss"])) == 1


def test_dropout_is_on_in_training_mode(few):
    # Nothing is learnt: what the modes differ by is dropout.
    parts = split_gap(fit(network(layers.Dropout(0.9)), *few, LossGap(*few), rate=0.0))
    assert (parts["regularization"] > 0.1).all()


def test_without_dropout_and_batch_normalization_there_is_no_regularization_part(few):
    history = fit(network(layers.Dense(8)), *few, LossGap(*few), epochs=2)
    parts = split_gap(history)
    np.testing.assert_allclose(parts["regularization"], 0, atol=1e-6)


def test_where_nothing_is_learnt_the_timing_part_vanishes(few, data):
    _, validation = data
    options = {"rate": 0.0, "validation_data": batches(*validation)}
    parts = split_gap(fit(network(), *few, LossGap(*few), **options))
    np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
    assert np.abs(parts["data"]).min() > 1e-4


def test_weight_penalties_and_sparse_labels_add_up_too(few):
    x, y = few
    model = network(kernel_regularizer=keras.regularizers.L2(0.1))
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    labels = y.argmax(axis=1)
    history = fit(model, x, labels, LossGap(x, labels), compiled=False)
    # Keras counts the penalty in both losses, so it is no part of the gap.
    penalty = 0.1 * np.sum(np.square(model.layers[-1].get_weights()[0]))
    assert penalty > 0.5
    expected = by_hand(model, x, y, training=True) + penalty
    for name in MEASURED:
        np.testing.assert_allclose(history[name], [expected], rtol=1e-5)


def test_the_training_mode_is_that_of_fit(few):
    # Keras sets no mode where `call` takes none: dropout is off, even in `fit`.
    class WithoutMode(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = keras.Sequential([layers.Flatten(), layers.Dropout(0.9)])
            self.classify = layers.Dense(10, activation="softmax")

        def call(self, x):
            return self.classify(self.network(x))

    parts = split_gap(fit(WithoutMode(), *few, LossGap(*few), rate=0.0))
    np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
    np.testing.assert_allclose(parts["regularization"], 0, atol=1e-5)


@pytest.mark.skipif(KERAS_3_0, reason="Keras 3.0 does not tell compute_loss the mode")
def test_compute_loss_gets_the_mode_that_it_asks_for(few):
    class Stricter(keras.Sequential):
        def compute_loss(self, x, y, y_pred, sample_weight, training):
            loss = super().compute_loss(x, y, y_pred, sample_weight)
            return loss + (1.0 if training else 0.0)

    model = Stricter(network().layers)
    parts = split_gap(fit(model, *few, LossGap(*few), rate=0.0))
    np.testing.assert_allclose(parts["regularization"], 1, rtol=1e-5)
    np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)


def test_compute_loss_without_a_mode_gets_what_fit_casts(few):
    class Plain(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return tf.reduce_mean(tf.square(y - y_pred))  # of one dtype, or an error

    x, y = (array.astype("float64") for array in few)
    model = Plain(network().layers)
    history = fit(model, *few, LossGap(x, y), rate=0.0)
    for name in MEASURED:
        np.testing.assert_allclose(history[name], history["val_loss"], rtol=1e-5)


@pytest.mark.parametrize("first", [layers.Rescaling, layers.Embedding])
def test_mixed_precision_casts_the_inputs_once(few, first):
    x, y = few
    if first is layers.Rescaling:
        # Times 1e6, they are infinite in float16.
        options, scale = {"scale": 1e-6, "dtype": "float32"}, 1e6
    else:
        # Above 2048 float16 has no odd numbers.
        options, scale = {"input_dim": 3000, "output_dim": 2, "dtype": "float32"}, 2999
    x = np.floor(x * scale).astype("float32")
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                first(**options),
                layers.Flatten(),
                layers.Dense(10, activation="softmax", dtype="float32"),
            ]
        )
        history = fit(model, x, y, LossGap(x, y))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for name in MEASURED:
        assert np.isfinite(history[name]).all()
        np.testing.assert_allclose(history[name], history["val_loss"], rtol=1e-3)


def test_several_inputs_outputs_and_losses_can_be_measured(few):
    image = keras.Input((28, 28, 1), name="image")
    flat = layers.Dropout(0.5)(layers.Flatten()(image))
    outputs = {
        "kind": layers.Dense(10, activation="softmax", name="kind")(flat),
        "light": layers.Dense(1, name="light")(flat),
    }
    model = keras.Model({"image": image}, outputs)
    model.compile(
        "sgd",
        loss={"kind": "categorical_crossentropy", "light": "mse"},
        loss_weights={"kind": 1.0, "light": 0.5},
        run_eagerly=True,
    )
    x, y = few
    x, y = {"image": x}, {"kind": y, "light": x.mean(axis=(1, 2))}
    history = fit(model, x, y, LossGap(x, y), compiled=False)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert history["inference_mode_loss"] == [expected]
    parts = split_gap(history)
    assert parts["regularization"] > 1e-3
    np.testing.assert_allclose(sum(parts.values()), gap(history), atol=1e-12)


def test_several_inputs_and_labels_may_be_lists(few):
    x, y = few
    inputs = [keras.Input((28, 28, 1)), keras.Input((28, 28, 1))]
    flat = [layers.Flatten()(part) for part in inputs]
    outputs = [layers.Dense(10, activation="softmax")(part) for part in flat]
    model = keras.Model(inputs, outputs)
    loss = "categorical_crossentropy"
    model.compile("sgd", [loss, loss], run_eagerly=True)
    gaps = LossGap([x, 1 - x], [y, y])
    history = fit(model, (x, 1 - x), (y, y), gaps, compiled=False)
    for name in MEASURED:
        np.testing.assert_allclose(history[name], history["val_loss"], rtol=1e-6)


def test_images_of_any_dtype_are_measured_as_fit_sees_them(few):
    x, y = few
    model = network()
    history = fit(model, x, y, LossGap(x.astype("float64"), y.astype("int32")))
    np.testing.assert_allclose(
        history["inference_mode_loss"], history["val_loss"], rtol=1e-6
    )


# Weights


def test_sample_weights_are_no_timing_part(few):
    x, y = few
    weights = np.linspace(0.1, 4, len(x))
    model = network()
    gaps = LossGap(x, y, sample_weight=weights, held_out=(x, y, weights))
    history = fit(model, x, y, gaps, rate=0.0, x=batches(x, y, weights))
    expected = by_hand(model, x, y, training=False, weights=weights)
    assert abs(expected - by_hand(model, x, y, training=False)) > 0.1
    for name in [*MEASURED, "held_out_loss", "loss"]:
        np.testing.assert_allclose(history[name], [expected], rtol=1e-5)


def test_class_weights_as_the_docstring_has_them_are_no_timing_part(few):
    x, y = few
    labels = y.argmax(axis=1)
    weights = np.array([1.0, 5.0] * 5)[labels]
    model = network()
    options = {"rate": 0.0, "class_weight": dict(enumerate([1.0, 5.0] * 5))}
    history = fit(model, x, y, LossGap(x, y, sample_weight=weights), **options)
    np.testing.assert_allclose(split_gap(history)["timing"], 0, atol=1e-5)


# Data sets


def test_a_data_set_is_used_as_it_is(few):
    data_set = batches(*few, batch_size=16)
    model = network(layers.BatchNormalization())
    history = fit(model, *few, LossGap(data_set, held_out=data_set))
    expected = by_hand(model, *few, training=True, batch_size=16)
    np.testing.assert_allclose(history["training_mode_loss"], [expected], rtol=1e-5)
    assert history["inference_mode_loss"] == history["held_out_loss"]


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 16

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return self.x[rows], self.y[rows]


def test_a_py_dataset_is_used_as_it_is(few):
    model = network(layers.BatchNormalization())
    history = fit(model, *few, LossGap(Batches(*few)))
    expected = by_hand(model, *few, training=True, batch_size=16)
    np.testing.assert_allclose(history["training_mode_loss"], [expected], rtol=1e-5)


def endless(x, y):
    for _ in range(100):
        yield x[:32], y[:32]
    raise AssertionError("all of it was asked for")


def test_of_endless_data_as_many_steps_are_measured_as_asked_for(few):
    x, y = few
    data_set = batches(*few, batch_size=32).repeat()
    for endless_data in (endless(x, y), data_set):
        model = network()
        history = fit(model, x, y, LossGap(endless_data, steps=1))
        expected = by_hand(model, x[:32], y[:32], training=True)
        np.testing.assert_allclose(history["training_mode_loss"], expected, rtol=1e-5)


def test_of_arrays_as_many_steps_are_measured_as_asked_for(few):
    model = network()
    history = fit(model, *few, LossGap(*few, batch_size=16, steps=2))
    expected = model.evaluate(few[0][:32], few[1][:32], batch_size=16, verbose=0)
    np.testing.assert_allclose(history["inference_mode_loss"], [expected], rtol=1e-6)


# What is refused, and when


class Started(keras.callbacks.Callback):
    epochs = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs += 1


def refused(few, message, *args, model=None, **options):
    """Assert that it is refused in one line before an epoch is spent."""
    started = Started()
    with pytest.raises(ValueError, match=message) as error:
        fit(model or network(), *few, LossGap(*args, **options), started)
    assert started.epochs == 0
    assert "LossGap" in str(error.value) and "\n" not in str(error.value)


def test_unequal_lengths_are_refused(few):
    x, y = few
    refused(few, "63 and 64", x, y[:-1])
    refused(few, "1 and 64", x, y, sample_weight=np.ones(1))
    refused(few, "held_out: .* 10 and 64", x, y, held_out=(x, y[:10]))


def test_labels_and_weights_beside_a_data_set_are_refused(few):
    x, y = few
    data_set = batches(*few)
    refused(few, "belong into the data set", data_set, y)
    refused(few, "belong into the data set", data_set, sample_weight=np.ones(len(x)))


def test_no_images_are_refused(few):
    x, y = few
    refused(few, "x is empty", x[:0], y[:0])
    refused(few, "held_out: x is empty", x, y, held_out=(x[:0], y[:0]))
    nothing = batches(*few).take(0)
    refused(few, "the data set is empty", nothing)
    refused(few, "held_out: the data set is empty", x, y, held_out=nothing)


def test_labels_of_the_wrong_kind_are_refused(few):
    x, y = few
    refused(few, "cannot measure this", x, y.argmax(axis=1))
    refused(few, "cannot measure this", x, np.array(["boot"] * len(x)))
    refused(few, "cannot measure this", x)
    refused(few, "cannot measure this", x, y, held_out=(x, y[:, :3]))


def test_sparse_labels_of_no_class_are_refused_where_tensorflow_sees_them(few):
    x, y = few
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    labels = y.argmax(axis=1)
    with pytest.raises(ValueError, match="cannot measure this"):
        fit(model, x, labels, LossGap(x, labels + 10), compiled=False)


def test_endless_data_without_steps_are_refused(few):
    x, y = few
    refused(few, "steps=", batches(*few).repeat())
    refused(few, "steps=", endless(x, y))
    refused(few, "held_out: .*steps=", x, y, held_out=endless(x, y))


@pytest.mark.skipif(KERAS_3_0, reason="Keras 3.0 has no endless PyDataset")
def test_an_endless_py_dataset_without_steps_is_refused(few):
    class Endless(Batches):
        num_batches = None

    refused(few, "steps=", Endless(*few))


def test_arrays_that_cannot_be_read_batch_by_batch_are_refused(few):
    x, y = few
    sparse = tf.sparse.from_dense(x.reshape(64, -1))
    refused(few, "SparseTensor cannot be read batch by batch", sparse, y)


def test_a_model_without_a_loss_is_refused(few):
    class OwnSteps(keras.Sequential):
        def train_step(self, data):
            return {"d_loss": 0.0}

        def test_step(self, data):
            return {"d_loss": 0.0}

    model = OwnSteps(network().layers)
    model.compile("sgd")
    started = Started()
    with pytest.raises(
        ValueError, match="LossGap cannot measure this: No loss"
    ) as error:
        fit(model, *few, LossGap(*few), started, compiled=False)
    assert started.epochs == 0 and "\n" not in str(error.value)


@pytest.mark.skipif(KERAS_3_0, reason="Keras 3.0 reports 0 for a test_step of your own")
def test_a_test_step_without_a_loss_is_refused(few):
    class OwnTestStep(keras.Sequential):
        def test_step(self, data):
            return {"d_loss": tf.constant(0.0)}

    refused(few, "returns no 'loss'", *few, model=OwnTestStep(network().layers))


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
        x += 0.1 * keras.random.normal(keras.ops.shape(x))  # the seed that all share
        return x * (1 + 0.01 * (self.keras_counter + self.tensorflow_counter))


def stateful_model():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), batch_size=32),
            layers.Reshape((28, 28)),
            EveryState(),
            layers.LSTM(4, stateful=True, dropout=0.5),
            layers.BatchNormalization(),
            # Keras 3.0 cannot train it.
            *([] if KERAS_3_0 else [layers.SpectralNormalization(layers.Dense(8))]),
            layers.GaussianNoise(0.1),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def stateful_training(few, *callbacks):
    keras.backend.clear_session()  # the seed that all share, in Keras 3.0 too
    keras.utils.set_random_seed(1)
    model = stateful_model()
    data = batches(*few, batch_size=32)
    options = {"x": data, "validation_data": data, "eager": False}
    history = fit(model, *few, *callbacks, epochs=2, **options)
    layer = next(layer for layer in model.layers if isinstance(layer, EveryState))
    shared = keras.random.normal((3,)).numpy()
    return history, [*state(model), layer.tensorflow_counter.numpy(), shared]


def test_all_state_is_put_back_after_each_measurement(few):
    expected_history, expected = stateful_training(few)
    history, variables = stateful_training(few, LossGap(*few, held_out=few))
    assert {name: history[name] for name in expected_history} == expected_history
    for variable, expected_variable in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable, expected_variable)
    # Each measurement starts from the same state: here, on the same data too.
    assert history["inference_mode_loss"] == history["held_out_loss"]


def test_all_state_is_put_back_after_an_error_and_after_ctrl_c(few):
    class Broken(layers.Layer):
        stop = None

        def call(self, x):
            if self.stop:
                raise self.stop
            return x

    broken = Broken()
    model = network(layers.BatchNormalization(), layers.Dropout(0.5), broken)
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    gaps = LossGap(*few)
    fit(model, *few, gaps, compiled=False)
    before = state(model)
    for stop in (ZeroDivisionError, KeyboardInterrupt):
        broken.stop = stop
        with pytest.raises(stop):
            gaps.on_epoch_end(1, {})
        for variable, expected in zip(state(model), before, strict=True):
            np.testing.assert_array_equal(variable, expected)


def test_an_eager_model_is_measured_eagerly(few):
    eager = []

    class Look(layers.Layer):
        def call(self, x):
            eager.append(tf.executing_eagerly())
            return x

    model = network(Look())
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    gaps = LossGap(*few)
    fit(model, *few, gaps, compiled=False)
    eager.clear()
    gaps.on_epoch_end(1, {})
    assert eager == [True] * 4  # two batches, in both modes


def test_nothing_is_traced_again_after_the_first_epoch(few):
    traces = []

    class Look(layers.Layer):
        def call(self, x):
            traces.append(tf.executing_eagerly())
            return x

    x, y = few[0][:50], few[1][:50]  # with a smaller last batch
    counts = []
    count = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: counts.append(len(traces))
    )
    model = network(Look())
    gaps = LossGap(x, y, held_out=(x, y))
    fit(model, x, y, gaps, count, epochs=3, eager=False)
    assert counts[0] == counts[1] == counts[2]


# Around it


def test_what_fit_reports_does_not_change(few, capsys):
    model = network()
    model.compile(
        "sgd", "categorical_crossentropy", metrics=["accuracy"], run_eagerly=True
    )
    options = {"compiled": False, "verbose": 2}
    history = fit(model, *few, LossGap(*few), **options)
    evaluated = model.evaluate(*few, verbose=0, return_dict=True)
    assert history["val_accuracy"] == [evaluated["accuracy"]]
    assert set(history) == MEASURED | {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert capsys.readouterr().out.count("1/1") == 1


def test_other_callbacks_see_the_losses(few, tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(network(), *few, LossGap(*few, held_out=few), log)
    columns = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert set(columns) >= MEASURED | {"held_out_loss"}
    assert len(history["training_mode_loss"]) == 1


def test_the_readmes_example_runs_as_it_stands(few, capsys):
    x, y = few
    (example,) = re.findall(
        "```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    model = network(layers.Dropout(0.5))
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    names = {"model": model, "x_train": x, "y_train": y, "x_val": x, "y_val": y}
    exec(example, names)  # noqa: S102 - it is ours
    assert "'timing': array(" in capsys.readouterr().out


# Memorization, or easier images?


@pytest.fixture(scope="module")
def memorized(data):
    """A network that knows by heart images whose labels are random."""
    (x_train, _), (x_test, _) = data
    chance = np.random.default_rng(1)
    x = np.concatenate([x_train, x_test])[chance.permutation(420)]
    y = np.eye(10, dtype="float32")[chance.integers(10, size=420)]
    known, held_out = (x[:100], y[:100]), (x[100:260], y[100:260])
    keras.utils.set_random_seed(1)
    model = network(layers.Dense(256, activation="relu"))
    model.compile(keras.optimizers.Adam(3e-3), "categorical_crossentropy")
    gaps = LossGap(*known, held_out=held_out)
    validation = x[260:], y[260:]
    options = {"compiled": False, "validation_data": batches(*validation)}
    known_batches = batches(*known, batch_size=32).repeat(30)
    history = fit(model, *known, gaps, x=known_batches, **options)
    return model, gaps, history, validation


def test_images_known_by_heart_are_memorization_and_no_data_part(memorized):
    _, _, history, _ = memorized
    parts = split_gap(history)
    assert history["inference_mode_loss"][-1] < 0.5
    assert parts["memorization"][-1] < -2
    # As far as samples of 160 images tell.
    assert abs(parts["data"][-1]) < abs(parts["memorization"][-1]) / 8


def test_easier_validation_images_are_a_data_part_and_no_memorization(memorized):
    model, gaps, history, (x, y) = memorized
    surest = np.argsort(crossentropy(y, model.predict(x, verbose=0)))[:40]
    logs = {"loss": history["loss"][-1]}
    gaps.on_epoch_end(30, logs)
    logs["val_loss"] = model.evaluate(x[surest], y[surest], verbose=0)
    parts = split_gap({name: [value] for name, value in logs.items()})
    assert parts["data"][0] > 1
    memorization = split_gap(history)["memorization"][-1]
    np.testing.assert_allclose(parts["memorization"][0], memorization, rtol=1e-6)
