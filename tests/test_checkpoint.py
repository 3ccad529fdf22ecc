import pickle

import keras
import numpy as np
import pytest

from pyimagesearch.checkpoint import HistoryCheckpoint

EARLIER = pickle.dumps({"loss": [0.5], "val_loss": [0.5]})
X, Y = np.ones((4, 2)), np.ones((4, 1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


def read(path):
    return pickle.loads(path.read_bytes())


def train(path, epochs, *callbacks):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    checkpoint = HistoryCheckpoint(path)
    options = {"validation_data": (X, Y), "verbose": 0}
    model.fit(X, Y, epochs=epochs, callbacks=[*callbacks, checkpoint], **options)
    return checkpoint


def test_each_epoch_is_on_disk_and_the_earlier_history_stays_until_the_end(path):
    path.write_bytes(EARLIER)
    partial = path.with_name("training.pickle.partial")
    partial.write_bytes(EARLIER)  # of a training that was stopped
    lengths = []

    def look(epoch, logs):
        lengths.append(len(read(partial)["loss"]))
        assert path.read_bytes() == EARLIER

    checkpoint = train(path, 3, keras.callbacks.LambdaCallback(on_epoch_begin=look))
    assert lengths == [1, 1, 2]
    assert read(partial) == checkpoint.history == checkpoint.model.history.history
    assert path.read_bytes() == EARLIER
