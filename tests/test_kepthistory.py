import os
import pickle
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import full_disk, link

from pyimagesearch.dataset import load_data
from pyimagesearch.history import HistoryError
from pyimagesearch.kepthistory import KeptHistory

OLDER = pickle.dumps({"loss": [0.5], "val_loss": [0.5]})
EPOCH = {"loss": np.float32(0.5), "val_loss": np.float32(0.25)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


def partial(path, number=""):
    return path.with_name(f"training.pickle{number}.partial")


def read(path):
    return pickle.loads(path.read_bytes())


def begun(path):
    """The history of a training that has begun."""
    history = KeptHistory(path)
    history.set_model(keras.Sequential())
    history.on_train_begin()
    history.on_train_end()
    return history


def after(epochs, path):
    """The history after some epochs."""
    history = begun(path)
    for epoch in range(epochs):
        history.on_epoch_end(epoch, dict(EPOCH))
    return history


def test_each_epoch_is_on_disk_and_the_target_is_left_alone(path):
    path.write_bytes(OLDER)
    after(2, path)
    assert read(partial(path)) == {"loss": [0.5, 0.5], "val_loss": [0.25, 0.25]}
    assert path.read_bytes() == OLDER
    assert len(list(path.parent.iterdir())) == 2


def test_the_whole_history_takes_the_targets_name(path):
    path.write_bytes(OLDER)
    after(2, path).finish()
    assert read(path) == {"loss": [0.5, 0.5], "val_loss": [0.25, 0.25]}
    assert list(path.parent.iterdir()) == [path]


def test_an_older_partial_file_is_neither_touched_nor_counted(path):
    partial(path).write_bytes(OLDER)
    assert "no epoch was finished" in after(0, path).left()
    history = after(3, path)
    assert partial(path).read_bytes() == OLDER
    assert len(read(partial(path, ".2"))["loss"]) == 3
    assert f"finished epochs: 3, in {partial(path, '.2')};" in history.left()
    history.finish()
    assert {file.name for file in path.parent.iterdir()} == {
        path.name,
        partial(path).name,
    }


def test_a_folder_with_the_partial_files_name_is_no_obstacle(path):
    partial(path).mkdir()
    history = after(1, path)
    assert len(read(partial(path, ".2"))["loss"]) == 1
    history.finish()
    assert len(read(path)["loss"]) == 1 and partial(path).is_dir()


def test_two_trainings_to_one_target_go_on_apart_and_lose_nothing(path):
    first, second = begun(path), begun(path)
    for epoch in range(3):
        first.on_epoch_end(epoch, dict(EPOCH))
        second.on_epoch_end(epoch, {**EPOCH, "loss": np.float32(0.75)})
    second.finish()
    with pytest.raises(HistoryError, match="by another program") as error:
        first.finish()
    assert str(partial(path)) in str(error.value)
    assert read(path)["loss"] == [0.75] * 3
    assert read(partial(path))["loss"] == [0.5] * 3


def test_of_a_link_the_file_is_replaced(path, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link(path, folder / "target")
    after(1, path).finish()
    assert path.is_symlink()
    assert len(read(folder / "target")["loss"]) == 1
    assert [file.name for file in folder.iterdir()] == ["target"]


def test_what_is_left_is_true_at_every_moment(path, monkeypatch):
    history = begun(path)
    assert history.left() == "no epoch was finished, nothing is saved"

    # Between the name and the first bytes.
    history.partial = partial(path)
    history.partial.touch()
    assert history.left() == "no epoch was finished, nothing is saved"
    assert list(path.parent.iterdir()) == []

    history.partial = None
    history.on_epoch_end(0, dict(EPOCH))
    # After an epoch, before its bytes have their name.
    history.history["loss"].append(0.5)
    assert f"finished epochs: 1, in {partial(path)}; " in history.left()

    # After the last rename, before anything else.
    os.replace(partial(path), path)
    assert f"finished epochs: 1, in {path}; " in history.left()


def test_epochs_that_cannot_be_counted_are_kept(path):
    history = after(1, path)
    partial(path).write_bytes(b"not to be read")
    assert history.left() == f"the finished epochs are in {partial(path)}"
    assert partial(path).read_bytes() == b"not to be read"


def test_a_target_that_cannot_be_replaced_keeps_the_whole_history(path):
    path.mkdir()
    history = after(1, path)
    with pytest.raises(HistoryError, match="cannot be written .* is in") as error:
        history.finish()
    assert str(partial(path)) in str(error.value)
    assert len(read(partial(path))["loss"]) == 1


def test_a_full_disk_keeps_the_epochs_before(path):
    path.write_bytes(OLDER)
    history = begun(path)
    cannot = r"partial cannot be written \(File too"
    with full_disk(room=60):
        history.on_epoch_end(0, dict(EPOCH))
        with pytest.raises(HistoryError, match=cannot):
            for epoch in range(1, 9):
                history.on_epoch_end(epoch, dict(EPOCH))
    epochs = len(read(partial(path))["loss"])
    assert epochs >= 1 and f"finished epochs: {epochs}," in history.left()
    assert path.read_bytes() == OLDER
    assert len(list(path.parent.iterdir())) == 2


def test_a_disk_that_is_full_at_once_leaves_nothing_behind(path):
    with full_disk(room=1), pytest.raises(HistoryError):
        after(1, path)
    assert list(path.parent.iterdir()) == []


class CtrlC(keras.callbacks.Callback):
    """Press Ctrl-C at the beginning of a batch, and note what still happens."""

    def __init__(self, hook):
        super().__init__()
        self.seen = []
        setattr(self, hook, self.press)

    def press(self, *args, **options):
        signal.raise_signal(signal.SIGINT)
        self.seen.append("went on")


@pytest.mark.parametrize(
    "hook, epochs",
    [("on_train_batch_begin", 0), ("on_test_batch_begin", 0), ("on_epoch_end", 1)],
)
def test_ctrl_c_waits_for_a_safe_place(path, hook, epochs):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    (x_train, y_train), _ = load_data()
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model.compile(loss="mse", optimizer="sgd", run_eagerly=True)
    press, history = CtrlC(hook), KeptHistory(path)
    # In one batch: at a second one, Ctrl-C would be pressed a second time.
    data = tf.data.Dataset.from_tensors((x_train[:32], y_train[:32]))
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(
                data,
                validation_data=data,
                shuffle=False,
                verbose=0,
                callbacks=[press, history],
            )
        # The second one does not wait, and the next program has its own.
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert press.seen == ["went on"]
    left = f"finished epochs: {epochs}," if epochs else "no epoch was finished"
    assert history.left().startswith(left)


def test_an_ignored_ctrl_c_stays_ignored_and_the_handler_is_put_back(path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        KeptHistory(path).on_train_begin()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, signal.default_int_handler)
        after(0, path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
