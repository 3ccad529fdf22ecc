import keras
import numpy as np
import pytest
from keras import layers

from pyimagesearch import dataset
from pyimagesearch.history import split_gap
from pyimagesearch.lossgap import LossGap
from pyimagesearch.minivggnet import MiniVGGNet


@pytest.fixture(scope="module")
def data():
    return dataset.load_data()


@pytest.fixture(scope="module")
def train(data):
    """Train a model on the tiny data set as anybody would, and measure the gap."""

    def train(model, loss="categorical_crossentropy", sparse=False, rate=1e-2, **fit):
        (x_train, y_train), (x_test, y_test) = data
        if sparse:
            y_train, y_test = y_train.argmax(axis=1), y_test.argmax(axis=1)
        model.compile(loss=loss, optimizer=keras.optimizers.SGD(rate, momentum=0.9))
        options = {"callbacks": [LossGap(x_train, y_train)], "epochs": 2, **fit}
        return model.fit(
            x_train,
            y_train,
            validation_data=(x_test, y_test),
            verbose=0,
            **options,
        ).history

    return train


@pytest.fixture(scope="module")
def measured(train):
    """MiniVGGNet after two measured epochs, with all its state, and the history."""
    return seeded_mini_vggnet(train)


def seeded_mini_vggnet(train, **fit):
    keras.utils.set_random_seed(1)
    model = MiniVGGNet.build(width=28, height=28, depth=1, classes=10)
    history = train(model, **fit)
    variables = model.variables + model.optimizer.variables
    return (
        model,
        [v.numpy() for v in variables],
        history,
    )


def plain_network(**dense):
    """A network that does the same in training and inference mode."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(32, activation="relu", **dense),
            layers.Dense(10, activation="softmax"),
        ]
    )


def gap(history):
    return np.subtract(history["loss"], history["val_loss"])


def test_the_parts_add_up_to_the_gap(measured):
    _, _, history = measured
    parts = split_gap(history)
    np.testing.assert_allclose(sum(parts.values()), gap(history), atol=1e-12)
    assert all(np.abs(part).min() > 1e-3 for part in parts.values())


def test_inference_mode_loss_is_what_evaluate_returns(measured, data):
    model, _, history = measured
    (x_train, y_train), _ = data
    expected = model.evaluate(x_train, y_train, verbose=0)
    assert history["inference_mode_loss"][-1] == expected


def test_measuring_does_not_change_the_training(measured, train):
    _, variables, history = measured
    _, expected_variables, expected = seeded_mini_vggnet(train, callbacks=[])
    assert {name: history[name] for name in expected} == expected
    assert set(history) - set(expected) == {"training_mode_loss", "inference_mode_loss"}
    # Batch normalization's averages and the seeds of dropout are among these.
    for variable, expected_variable in zip(variables, expected_variables, strict=True):
        np.testing.assert_array_equal(variable, expected_variable)


def test_training_mode_loss_has_the_statistics_of_each_batch(train, data):
    # Without dropout training mode is repeatable, so it can be computed by hand.
    (x_train, y_train), _ = data
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.BatchNormalization(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    # 48 does not divide 320: the last batch is smaller and weighs less.
    history = train(model, callbacks=[LossGap(x_train, y_train, batch_size=48)])
    losses = []
    for start in range(0, len(x_train), 48):
        y_pred = model(x_train[start : start + 48], training=True)
        loss = keras.losses.categorical_crossentropy(
            y_train[start : start + 48], y_pred
        )
        losses.extend(keras.ops.convert_to_numpy(loss))
    assert len(losses) == len(x_train)
    np.testing.assert_allclose(
        history["training_mode_loss"][-1], np.mean(losses), rtol=1e-5
    )
    assert abs(split_gap(history)["regularization"][-1]) > 1e-3


def test_dropout_is_on_in_training_mode(train):
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dropout(0.9),
            layers.Dense(10, activation="softmax"),
        ]
    )
    # Nothing is learnt: what the modes differ by is dropout.
    parts = split_gap(train(model, rate=1e-9))
    assert (parts["regularization"] > 0.1).all()


def test_without_dropout_and_batch_normalization_there_is_no_regularization_part(train):
    parts = split_gap(train(plain_network()))
    np.testing.assert_allclose(parts["regularization"], 0, atol=1e-6)


def test_weight_penalties_and_sparse_labels_add_up_too(train, data):
    (x_train, y_train), _ = data
    model = plain_network(kernel_regularizer=keras.regularizers.L2(0.1))
    history = train(model, loss="sparse_categorical_crossentropy", sparse=True)
    parts = split_gap(history)
    np.testing.assert_allclose(sum(parts.values()), gap(history), atol=1e-12)
    # Keras counts the penalty in both losses, so it is no part of the gap.
    np.testing.assert_allclose(parts["regularization"], 0, atol=1e-5)
    predictions = model.predict(x_train, verbose=0)
    crossentropy = keras.losses.categorical_crossentropy(y_train, predictions)
    penalty = 0.1 * np.sum(np.square(model.layers[1].get_weights()[0]))
    assert penalty > 0.5
    np.testing.assert_allclose(
        history["training_mode_loss"][-1], np.mean(crossentropy) + penalty, rtol=1e-5
    )


def test_where_nothing_is_learnt_the_timing_part_vanishes(train):
    parts = split_gap(train(plain_network(), rate=1e-9))
    np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
    assert np.abs(parts["data"]).min() > 1e-4


def test_the_training_mode_is_that_of_fit(train):
    # Keras sets no mode where `call` takes none: dropout is off, even in `fit`.
    class WithoutMode(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = keras.Sequential([layers.Flatten(), layers.Dropout(0.9)])
            self.classify = layers.Dense(10, activation="softmax")

        def call(self, x):
            return self.classify(self.network(x))

    parts = split_gap(train(WithoutMode(), rate=1e-9))
    np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
    np.testing.assert_allclose(parts["regularization"], 0, atol=1e-5)


def test_several_inputs_outputs_and_losses_can_be_measured(data):
    (x_train, y_train), (x_test, y_test) = data
    image = keras.Input((28, 28, 1), name="image")
    flat = layers.Dropout(0.5)(layers.Flatten()(image))
    outputs = {
        "kind": layers.Dense(10, activation="softmax", name="kind")(flat),
        "light": layers.Dense(1, name="light")(flat),
    }
    model = keras.Model({"image": image}, outputs)
    model.compile(
        loss={"kind": "categorical_crossentropy", "light": "mse"},
        loss_weights={"kind": 1.0, "light": 0.5},
        optimizer="sgd",
    )

    def labels(x, y):
        return {"kind": y, "light": x.mean(axis=(1, 2))}

    x, y = {"image": x_train}, labels(x_train, y_train)
    history = model.fit(
        x,
        y,
        validation_data=({"image": x_test}, labels(x_test, y_test)),
        callbacks=[LossGap(x, y)],
        verbose=0,
    ).history
    expected = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert history["inference_mode_loss"] == [expected]
    np.testing.assert_allclose(
        sum(split_gap(history).values()), gap(history), atol=1e-12
    )


def test_other_callbacks_see_the_two_losses(train, data, tmp_path):
    (x_train, y_train), _ = data
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = train(plain_network(), callbacks=[LossGap(x_train, y_train), log])
    columns = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert {"training_mode_loss", "inference_mode_loss"} <= set(columns)
    assert len(history["training_mode_loss"]) == 2
