"""LossGap() measures what `fit` was told, and says where other data do not fit to it."""

import keras
import numpy as np
import pytest
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
    history_of,
    losses_by_hand,
    network,
    warnings_of,
)
from keras import layers

from pyimagesearch.lossgap import LossGap, in_words, split_gap

LABELS = TRAIN[1].argmax(axis=1)
ORDER = np.argsort(LABELS, kind="stable")
SORTED = TRAIN[0][ORDER][::2], TRAIN[1][ORDER][::2]
CLASS_WEIGHT = {label: 1.0 + label for label in range(9)}  # the last one has 1


def told(data, model=None, validation_data=BATCHES, **options):
    """The parts of a training that learns nothing, its history and LossGap."""
    loss_gap, model = LossGap(), model or network(rate=0.0)
    options = {"batch_size": 64, "validation_data": validation_data, **options}
    history = fit(model, data, loss_gap, **options)
    return split_gap(history), history, loss_gap


def assert_all_but(name, parts, expected):
    """Only this part, and the last one, differ from zero."""
    for part in set(parts) - {name, "memorization_and_data"}:
        np.testing.assert_allclose(parts[part], 0, atol=1e-5, err_msg=part)
    np.testing.assert_allclose(parts[name], expected, rtol=1e-4)


@pytest.mark.filterwarnings("error:LossGap")
def test_only_the_rows_that_validation_split_leaves_are_measured():
    parts, history, loss_gap = told(SORTED, None, None, validation_split=0.5)
    assert loss_gap.sources["x"].examples == 80
    expected = history["inference_mode_loss"][0] - history["val_loss"][0]
    assert abs(expected) > 1e-3
    assert_all_but("memorization_and_data", parts, expected)
    assert history["timing_error"] == [0]


@pytest.mark.parametrize(
    "options, expected",
    [({}, 32), ({"batch_size": 20}, 20), ({"steps_per_epoch": 4}, 16)],
)
def test_the_batch_size_is_that_of_fit_or_of_keras(options, expected):
    *_, loss_gap = told(FEW, **{"batch_size": None, **options})
    assert loss_gap.sources["x"].batch_size == expected


def test_an_epoch_of_some_of_the_data_is_another_draw():
    parts, history, _ = told(FEW, batch_size=16, steps_per_epoch=2, shuffle=False)
    # All four batches are measured, and `fit` had the first two.
    assert 0 < abs(parts["timing"][0]) < 3 * history["timing_error"][0]


@pytest.mark.filterwarnings("error:LossGap")
def test_the_order_of_unshuffled_data_is_that_of_fit():
    model = network(layers.BatchNormalization(), rate=0.0)
    parts, *_ = told(SORTED, model, batch_size=32, shuffle=False)
    np.testing.assert_allclose(parts["timing"], 0, atol=1e-6)
    assert abs(parts["batch_normalization"][0]) > 0.1
    # A sample are whole batches of `fit`'s.
    loss_gap = LossGap(steps=3, held_out=SORTED)
    fit(model, SORTED, loss_gap, validation_data=FEW, shuffle=False)
    of_fit = {SORTED[0][i : i + 32].tobytes() for i in range(0, 160, 32)}

    def sample():
        return {x.numpy().tobytes() for x, _ in loss_gap.samples["x"]["x"]}

    first = sample()
    loss_gap.on_epoch_begin(1)
    assert len(first) == 3 and first != sample() and first | sample() == of_fit
    for _, labels in loss_gap.samples["held_out"]["x"]:  # mixed, for their errors
        assert len(set(labels.numpy().argmax(axis=1))) > 5


@pytest.mark.parametrize(
    "loss, labels",
    [
        (LOSS, TRAIN[1]),
        ("sparse_categorical_crossentropy", LABELS),
        ("sparse_categorical_crossentropy", LABELS[:, np.newaxis]),
    ],
    ids=["one-hot", "sparse", "a column"],
)
def test_class_weights_are_a_part_of_their_own(loss, labels):
    model = eager(network(), loss, rate=0.0)
    options = {"class_weight": CLASS_WEIGHT, "validation_data": (X, labels[:64])}
    parts, history, _ = told((TRAIN[0], labels), model, **options)
    weights = np.array([CLASS_WEIGHT.get(label, 1) for label in LABELS])
    expected = (losses_by_hand(model, *TRAIN) * (weights - 1)).mean()
    assert expected > 1
    assert_all_but("augmentation_and_weights", parts, expected)
    assert history["timing_error"] == [0]


def test_sample_weights_are_a_part_unless_the_validation_has_some():
    weights = np.linspace(0.5, 3, 64)
    options = {"sample_weight": weights}
    model = network(rate=0.0)
    expected = (losses_by_hand(model, *FEW) * (weights - 1)).mean()
    parts, *_ = told(FEW, model, **options)
    assert_all_but("augmentation_and_weights", parts, expected)
    np.testing.assert_allclose(parts["memorization_and_data"], 0, atol=1e-5)
    parts, *_ = told(FEW, model, (*FEW, weights), **options)
    assert "augmentation_and_weights" not in parts
    np.testing.assert_allclose(list(parts.values()), 0, atol=1e-5)


def test_one_weight_counts_for_all_outputs_and_inputs_may_be_several():
    inputs = {name: keras.Input((28, 28, 1), name=name) for name in ("a", "b")}
    outputs = {
        f"of_{name}": layers.Dense(10, activation="softmax", name=f"of_{name}")(
            layers.Flatten()(inputs[name])
        )
        for name in inputs
    }
    model = eager(keras.Model(inputs, outputs), dict.fromkeys(outputs, LOSS), rate=0.0)
    data = {"a": X, "b": 1 - X}, {"of_a": Y, "of_b": Y}
    options = {"sample_weight": np.linspace(0, 2, 64), "validation_data": data}
    parts, *_ = told(data, model, **options)
    np.testing.assert_allclose(parts["timing"], 0, atol=1e-5)
    assert abs(parts["augmentation_and_weights"][0]) > 1e-3


class OwnFit(keras.Sequential):
    def fit(self, examples, **options):
        x, y = examples
        return super().fit(x, y, **options)


def test_the_fit_that_counts_is_keras_own():
    model = eager(OwnFit(network().layers), rate=0.0)
    options = {"validation_data": FEW, "verbose": 0}
    history = model.fit(FEW, callbacks=[LossGap()], batch_size=20, **options)
    np.testing.assert_allclose(split_gap(history)["timing"], 0, atol=1e-5)


def generator():
    while True:
        yield FEW


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("data", [BATCHES, generator()], ids=["data set", "generator"])
def test_data_that_cannot_be_read_are_asked_for(data):
    model = network()
    options = {"validation_data": FEW, "steps_per_epoch": 1, "shuffle": False}
    with pytest.raises(ValueError, match="data set or a generator: .*fit_data"):
        model.fit(data, callbacks=[LossGap()], verbose=0, **options)
    assert model.optimizer.iterations == 0


def test_without_fit_it_asks_for_the_data():
    def begin(*_):
        loss_gap = LossGap()
        keras.callbacks.CallbackList([loss_gap], add_history=True, model=network())
        loss_gap.on_train_begin()

    in_fit_of_another_model = keras.callbacks.LambdaCallback(on_train_begin=begin)
    for training in (begin, lambda: fit(network(), FEW, in_fit_of_another_model)):
        with pytest.raises(ValueError, match="give x, y and batch_size"):
            training()


@pytest.mark.parametrize("options", [{"validation_data": None}, {"validation_freq": 2}])
def test_without_a_validation_in_each_epoch_it_does_not_start(options):
    model = network()
    with pytest.raises(ValueError, match="needs validation_data, validation_freq=1"):
        fit(model, BATCHES, LossGap(BATCHES), epochs=9, **options)
    assert model.optimizer.iterations == 0


WEIGHTS = np.ones(64)


@pytest.mark.parametrize(
    "words, loss_gap, data, options",
    [
        ("64 examples, and x has 32", LossGap(X[:32], Y[:32]), FEW, {}),
        ("2 batches an epoch, and x has 4", LossGap(X, Y, 16), BATCHES, {}),
        ("8 batches an epoch, and x has 2", LossGap(X, Y, 32), BATCHES.repeat(4), {}),
        ("`fit` has class_weight", LossGap(X, Y), FEW, {"class_weight": {0: 2.0}}),
        ("`fit` has sample_weight", LossGap(X, Y), FEW, {"sample_weight": WEIGHTS}),
        (
            "the validation has sample weights, and x has none",
            LossGap(X, Y),
            FEW,
            {"validation_data": (*FEW, WEIGHTS)},
        ),
        (
            "x has sample weights, and the validation has none",
            LossGap(X, Y, 32, WEIGHTS),
            BATCHES,
            {"validation_data": BATCHES},
        ),
    ],
)
def test_what_fit_was_told_otherwise_is_one_warning(words, loss_gap, data, options):
    options = {"validation_data": BATCHES, "epochs": 2, **options}
    (warning,) = warnings_of(data, loss_gap, **options)
    assert words in warning and "give no x" in warning


def test_batches_that_keras_does_not_know_are_counted_in_the_first_epoch():
    unknown = data_set(FEW, 8).filter(lambda *_: True)
    (warning,) = warnings_of(unknown, LossGap(X, Y, 32), validation_data=TEST, epochs=2)
    assert "8 batches an epoch, and x has 2" in warning


@pytest.mark.parametrize(
    "loss_gap, data, options",
    [
        (LossGap(*FEW, 24), BATCHES, {"validation_data": TEST}),  # 3 batches, and 2
        (LossGap(*FEW, 8), BATCHES.repeat(), {"steps_per_epoch": 2}),
        (LossGap(*FEW, 8, fit_data=BATCHES), BATCHES, {}),
        (LossGap(), FEW, {"validation_data": TEST, "batch_size": 24}),
    ],
)
def test_what_fits_together_is_not_warned_of(loss_gap, data, options):
    assert warnings_of(data, loss_gap, **{"validation_data": BATCHES, **options}) == []


@pytest.mark.parametrize(
    "kind, shuffle", [("plain", True), ("penalty", True), ("overfits", False)]
)
def test_a_plain_training_has_neither_warning_nor_doubt(kind, shuffle):
    keras.utils.set_random_seed(1)
    penalty = keras.regularizers.L2(0.01) if kind == "penalty" else None
    hidden = [layers.Dense(32, "relu", kernel_regularizer=penalty)]
    hidden += [layers.BatchNormalization()] if kind == "plain" else []
    model = network(*hidden)
    model.compile(keras.optimizers.SGD(0.1 if kind == "overfits" else 0.02), LOSS)
    data = FEW if kind == "overfits" else TRAIN
    validation = data_set(TEST, 50)
    options = {"validation_data": validation, "epochs": 3, "batch_size": 64}
    options["shuffle"] = shuffle
    assert warnings_of(data, LossGap(), model=model, **options) == []
    history = model.history
    assert "in doubt" not in in_words(history)
    assert not any("first_batches" in name for name in history.history)


def test_a_resumed_training_counts_its_epochs_as_fit_does():
    options = {"validation_data": FEW, "initial_epoch": 4, "epochs": 6}
    history = history_of(network(), FEW, LossGap(), **options)
    words = in_words(history)
    assert "In epoch 5 " in words and "In epoch 6 " in words
