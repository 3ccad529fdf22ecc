"""LossGap measures the batches of `fit`, whatever they come from, and disturbs nothing."""

import functools
import resource

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import BATCHES, FEW, TEST, Kept, X, Y, data_set, eager, fit, network
from keras import layers

from pyimagesearch.lossgap import LossGap, split_gap
from pyimagesearch.lossgap.data import untuned
from pyimagesearch.lossgap.watch import Reservoir, Watch

WEIGHTS = np.linspace(0, 2, 64)
VALIDATION = data_set(TEST, 50)  # Keras 3.5 needs whole executions of two


class Images(keras.utils.PyDataset):
    def __init__(self, *arrays, **options):
        super().__init__(**options)
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0]) // 32

    def __getitem__(self, i):
        return tuple(array[32 * i : 32 * i + 32] for array in self.arrays)


def generator():
    while True:
        yield from (Images(X, Y)[i] for i in range(2))


def shuffled(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).shuffle(64, seed=1).batch(32)


TWO_EPOCHS = {"steps_per_epoch": 3, "epochs": 2}  # of one iterator
# What `fit` gets: functions, as some can be read only once.
KINDS = {
    "arrays": lambda: {"x": X, "y": Y},
    "unshuffled": lambda: {"x": X, "y": Y, "shuffle": False, "batch_size": 24},
    "class weights": lambda: {"x": X, "y": Y, "class_weight": {0: 3.0, 1: 0.5}},
    "a split": lambda: {"x": X, "y": Y, "validation_split": 0.25},
    "pandas": lambda: {"x": tf.constant(X), "y": pd.DataFrame(Y)},
    "a data set with weights": lambda: {"x": shuffled(X, Y, WEIGHTS)},
    "endless": lambda: {"x": shuffled(X, Y).repeat(), **TWO_EPOCHS},
    "a generator": lambda: {"x": generator(), **TWO_EPOCHS},
    "a PyDataset": lambda: {"x": Images(X, Y)},
    "workers": lambda: {"x": Images(X, Y, workers=2)},
    "steps an execution": lambda: {"x": shuffled(X, Y)},
}
IGNORED = "ignore:`shuffle=True` was passed"  # Keras', of data sets


def trained(kind, *callbacks, hidden=(), **options):
    keras.utils.set_random_seed(1)
    model = network(*(make() for make in hidden), rate=0.1 if hidden else 0.0)
    if kind == "steps an execution":
        eager(model, rate=0.0, steps_per_execution=2)
    options = {"verbose": 0, **options, **KINDS[kind]()}
    if kind != "a split":
        options["validation_data"] = VALIDATION
    history = model.fit(callbacks=list(callbacks), **options).history
    return history, model.get_weights()


@pytest.mark.filterwarnings("error:LossGap", IGNORED)
@pytest.mark.parametrize("kind", KINDS)
def test_all_that_fit_trains_on_is_measured(kind):
    # It learns nothing, and nothing is drawn: what `fit` had is what is measured.
    history, _ = trained(kind, LossGap(steps=None))
    np.testing.assert_allclose(split_gap(history)["timing"], 0, atol=2e-5)
    np.testing.assert_allclose(history["timing_error"], 0, atol=1e-6)
    assert set(history["measured_share"]) == {1}
    assert ("fit_data_loss" in history) == ("weights" in kind)


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize("kind", ["class weights", "endless", "workers"])
def test_the_training_is_the_same_bit_for_bit(kind):
    hidden = [layers.BatchNormalization, functools.partial(layers.Dropout, 0.5)]
    options = {"hidden": hidden, "epochs": 2}
    expected, expected_weights = trained(kind, **options)
    history, weights = trained(kind, LossGap(steps=1), **options)
    assert {name: history[name] for name in expected} == expected
    np.testing.assert_equal(weights, expected_weights)


def sparse():
    image = keras.Input((784,), sparse=True)
    return image, image, data_set((tf.sparse.from_dense(X.reshape(64, -1)), Y), 32)


def of_other_lengths():
    rows = tf.ragged.constant([row[:n] for n, row in enumerate(X.reshape(64, -1), 99)])
    batches = data_set((rows, Y), 32)
    batches = batches.map(lambda x, y: (x.to_tensor()[..., tf.newaxis], y))
    image = keras.Input((None, 1))  # as long as the longest of the batch
    return image, layers.GlobalAveragePooling1D()(image), batches


def in_a_dict():
    image = keras.Input((28, 28, 1), name="image")
    batches = BATCHES.map(lambda x, y: ({"image": x}, y))
    return {"image": image}, layers.Flatten()(image), batches


@pytest.mark.filterwarnings("error:LossGap")
@pytest.mark.parametrize("make", [sparse, of_other_lengths, in_a_dict])
def test_tensors_of_all_kinds_and_structures_are_watched(make):
    inputs, flat, batches = make()
    model = keras.Model(inputs, layers.Dense(10, "softmax")(flat))
    parts = split_gap(fit(eager(model, rate=0.0), batches, LossGap()))
    np.testing.assert_allclose(list(parts.values()), 0, atol=2e-5)


def test_labels_that_fit_and_the_validation_have_in_other_shapes_are_measured():
    labels = Y.argmax(axis=1)
    model = network(rate=0.0)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    options = {"validation_data": (X, labels), "batch_size": 64}
    history = fit(model, (X, pd.Series(labels)), LossGap(), **options)
    assert split_gap(history)["memorization_and_data"] == pytest.approx(0, abs=1e-5)


def test_several_replicas_are_measured_as_fit_has_them_and_not_disturbed():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def trained(*callbacks):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = network(layers.BatchNormalization())
            # Not eagerly: compiled, TensorFlow computes in place with what it is given.
            model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
        history = fit(model, untuned(BATCHES), *callbacks)
        variables = [x.value.values for x in model.non_trainable_variables]
        return history, [x.numpy() for values in variables for x in values]

    expected, averages = trained()
    history, same_averages = trained(LossGap())
    assert {name: history[name] for name in expected} == expected
    np.testing.assert_equal(same_averages, averages)  # of each replica
    parts = split_gap(history)
    assert abs(parts.pop("batch_normalization")[0]) > 0.01
    np.testing.assert_allclose(list(parts.values()), 0, atol=2e-5)


def test_a_batch_is_kept_as_likely_as_any_other_and_no_more_than_asked_for():
    counts = np.zeros(10)
    for seed in range(2000):
        reservoir = Reservoir(3, np.random.default_rng(seed))
        for batch in range(10):
            reservoir.add(batch)
            assert len(reservoir.places) == min(batch + 1, 3)
        counts[[batch for _, batch in reservoir.places.values()]] += 1
    np.testing.assert_allclose(counts / 2000, 0.3, atol=0.04)


@pytest.mark.parametrize("steps_per_epoch", [None, 6])
def test_a_sample_is_of_its_own_epoch_in_its_order_and_then_let_go(steps_per_epoch):
    numbers = np.arange(24, dtype="float32").reshape(-1, 1, 1, 1) * np.ones((28, 28, 1))
    batches = data_set((numbers, Y[:24]), 4 if steps_per_epoch is None else 2)
    loss_gap = LossGap(steps=3)
    kept = Kept(loss_gap)
    options = {"epochs": 2, "steps_per_epoch": steps_per_epoch}
    options["validation_data"] = VALIDATION
    fit(network(rate=0.0), batches.prefetch(4), kept, loss_gap, **options)
    first, second = [[x[0, 0, 0, 0] for x, _ in epoch] for epoch in kept.epochs]
    assert len(first) == len(second) == 3 and first != second
    assert first == sorted(first) and second == sorted(second)
    if steps_per_epoch:
        assert max(first) < 12 <= min(second)
    assert not loss_gap.training.reservoirs and not loss_gap.training.kept


def test_executions_of_more_steps_than_are_kept_or_than_an_epoch_has():
    model = eager(network(), rate=0.0, steps_per_execution=4)
    validation = data_set(FEW, 16)  # Keras 3.5 needs a whole execution
    options = {"steps_per_epoch": 6, "validation_data": validation, "epochs": 2}
    history = fit(model, BATCHES.repeat(), LossGap(steps=2), **options)
    # Keras has whole executions: 8 batches an epoch.
    assert history["measured_share"] == [2 / 8] * 2


def test_an_epoch_that_is_stopped_is_measured_as_far_as_it_went():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    history = fit(network(rate=0.0), BATCHES, LossGap(), Stop())
    np.testing.assert_allclose(split_gap(history)["timing"], 0, atol=2e-5)
    assert history["measured_share"] == [1]


def test_a_fit_that_somebody_has_patched_is_found(monkeypatch):
    plain_fit = keras.Model.fit

    def logged_fit(self, *args, **options):
        return plain_fit(self, *args, **options)

    monkeypatch.setattr(keras.Model, "fit", logged_fit)
    assert split_gap(fit(network(), BATCHES, LossGap()))


def test_what_keras_has_not_is_named_with_its_version():
    loss_gap, version = LossGap(), f"Keras {keras.__version__}"
    keras.callbacks.CallbackList([loss_gap], add_history=True, model=network())
    with pytest.raises(RuntimeError, match=f"epoch_iterator.*{version}"):
        loss_gap.on_train_begin()
    with pytest.raises(RuntimeError, match=f"{version}.*steps_per_epoch"):
        Watch(object(), network(), 1)


def test_memory_is_flat():
    used = []

    def look(epoch, logs):
        used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    note = keras.callbacks.LambdaCallback(on_epoch_end=look)
    model = keras.Sequential([keras.Input((100_000,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    batches = data_set((np.ones((32, 100_000), "float32"), np.ones((32, 1))), 16)
    fit(model, batches, LossGap(), note, epochs=9)
    assert used[-1] - used[2] < 30  # megabytes; six epochs have 78
