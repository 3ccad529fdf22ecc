import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from pyimagesearch import history
from pyimagesearch.history import HistoryError

ROOT = Path(__file__).parents[1]
NAN, INF = float("nan"), float("inf")
LOSSES = {"loss": [0.5, 0.25], "val_loss": [0.4, 0.3]}
MEASURED = {
    **LOSSES,
    "training_mode_loss": [0.35, 0.26],
    "inference_mode_loss": [0.3, 0.2],
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


def test_what_is_saved_is_plain_python(path):
    history.save({"loss": [np.float32(0.5), 1], "val_loss": np.array([0.4, 0.3])}, path)
    saved = pickle.loads(path.read_bytes())
    assert saved == {"loss": [0.5, 1.0], "val_loss": [0.4, 0.3]}
    assert type(saved) is dict
    assert all(type(saved[name]) is list for name in saved)
    assert all(type(value) is float for name in saved for value in saved[name])
    assert b"numpy" not in path.read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_what_is_saved_is_loaded(path):
    history.save({**LOSSES, "accuracy": [0.8, 0.9]}, path)
    loaded = history.load(path)
    np.testing.assert_equal(loaded["loss"], np.array([0.5, 0.25]))
    np.testing.assert_equal(loaded["val_loss"], np.array([0.4, 0.3]))
    assert loaded["accuracy"] == [0.8, 0.9]


def test_integers_are_loaded_as_floats(path):
    path.write_bytes(pickle.dumps({"loss": [1, 2], "val_loss": [3, 4]}))
    assert history.load(path)["loss"].dtype == float


def test_the_arrays_and_numbers_of_numpy_are_loaded(path):
    numbers = {"loss": np.ones(2), "val_loss": [np.float32(0.5), 1]}
    path.write_bytes(pickle.dumps(numbers))
    assert list(history.load(path)["loss"]) == [1, 1]
    assert list(history.load(path)["val_loss"]) == [0.5, 1]


def test_the_projects_record_is_loaded():
    losses = history.load(ROOT / "training.pickle")
    assert len(losses["loss"]) == 25 and "training_mode_loss" in losses


def test_nan_and_infinity_are_numbers(path):
    history.save({"loss": [0.5, NAN, INF], "val_loss": [0.4, -INF, NAN]}, path)
    np.testing.assert_equal(history.load(path)["loss"], [0.5, NAN, INF])
    np.testing.assert_equal(history.load(path)["val_loss"], [0.4, -INF, NAN])


def test_numbers_that_keras_cannot_have_are_infinite(path):
    history.save({"loss": [3e38, 1e39, 1e308], "val_loss": [0.4] * 3}, path)
    np.testing.assert_equal(history.load(path)["loss"], [3e38, INF, INF])


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (pickle.dumps(LOSSES)[:-20], "is damaged or not a pickle"),
        (b"Dear student,\n", "not a pickle"),
        (pickle.dumps([0.5]), "holds a list, not a dict"),
        (pickle.dumps({"val_loss": [0.5]}), "has no loss"),
        (pickle.dumps({"loss": [0.5]}), "has no val_loss"),
        (
            pickle.dumps({"loss": [0.5, 0.4], "val_loss": [0.5]}),
            "unequal lengths, loss 2, val_loss 1: validate after every epoch",
        ),
        (pickle.dumps({**LOSSES, "training_mode_loss": [1]}), "unequal lengths"),
        (pickle.dumps({**LOSSES, "held_out_loss": [1]}), "unequal lengths"),
        (pickle.dumps({"loss": [], "val_loss": []}), "no epochs"),
        (pickle.dumps({**LOSSES, "loss": ["0.5", "0.4"]}), "loss is not a list of num"),
        (pickle.dumps({**LOSSES, "loss": [0.5, None]}), "loss is not a list of num"),
        (pickle.dumps({**LOSSES, "loss": [1, [2]]}), "loss is not a list of numbers"),
        (pickle.dumps({**LOSSES, "loss": [[1], [2]]}), "loss is not a list of numbers"),
        (pickle.dumps({**LOSSES, "loss": np.eye(2)}), "loss is not a list of numbers"),
        (pickle.dumps({**LOSSES, "loss": [True, False]}), "loss is not a list of num"),
        (pickle.dumps({**LOSSES, "loss": [10**400, 1]}), "loss has a number of many"),
        (
            pickle.dumps({**LOSSES, "held_out_loss": "12"}),
            "held_out_loss is not a list",
        ),
        (pickle.dumps({**LOSSES, "val_loss": 0.5}), "val_loss is not a list of num"),
        (pickle.dumps(os.mkdir), "asks for .*mkdir.*could run code"),
    ],
)
def test_what_is_no_history_is_refused_in_a_line(path, content, message):
    path.write_bytes(content)
    with pytest.raises(HistoryError, match=message) as error:
        history.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_that_holds_itself_is_refused(path):
    loop = []
    loop.append(loop)
    path.write_bytes(pickle.dumps({**LOSSES, "loss": loop}))
    with pytest.raises(HistoryError, match="not a list of numbers"):
        history.load(path)


def test_a_missing_file_and_a_folder_are_refused_in_a_line(tmp_path):
    with pytest.raises(HistoryError, match="no.pickle cannot be read"):
        history.load(tmp_path / "no.pickle")
    with pytest.raises(HistoryError, match="cannot be read"):
        history.load(tmp_path)
    with pytest.raises(HistoryError, match="cannot be read"):
        history.load(Path("no\0name"))


def test_devices_and_pipes_are_not_read(tmp_path):
    if not hasattr(os, "mkfifo") or not Path("/dev/zero").exists():
        pytest.skip("this system has no such files")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for file in (pipe, Path("/dev/zero")):
        with pytest.raises(HistoryError, match="no regular file"):
            history.load(file)


@pytest.mark.skipif(os.name == "nt", reason="the file would take all that room")
def test_a_huge_file_is_not_read(path):
    with open(path, "wb") as file:
        file.truncate(5 * 10**9)  # sparse: it takes no room
    with pytest.raises(HistoryError, match="larger than 16 MB"):
        history.load(path)


def test_the_parts_add_up_to_the_gap():
    parts = history.split_gap(MEASURED)
    assert list(parts) == ["timing", "regularization", "data"]
    np.testing.assert_allclose(parts["timing"], [0.15, -0.01])
    np.testing.assert_allclose(parts["regularization"], [0.05, 0.06])
    np.testing.assert_allclose(parts["data"], [-0.1, -0.1])
    np.testing.assert_allclose(sum(parts.values()), [0.1, -0.05])


def test_with_held_out_data_there_are_four_parts_that_add_up():
    parts = history.split_gap({**MEASURED, "held_out_loss": [0.34, 0.33]})
    assert list(parts) == ["timing", "regularization", "memorization", "data"]
    np.testing.assert_allclose(parts["timing"], [0.15, -0.01])
    np.testing.assert_allclose(parts["regularization"], [0.05, 0.06])
    np.testing.assert_allclose(parts["memorization"], [-0.04, -0.13])
    np.testing.assert_allclose(parts["data"], [-0.06, 0.03])
    np.testing.assert_allclose(sum(parts.values()), [0.1, -0.05])


@pytest.mark.parametrize("missing", [*MEASURED])
def test_a_history_that_was_not_measured_cannot_be_split(missing):
    part = {name: MEASURED[name] for name in MEASURED if name != missing}
    with pytest.raises(HistoryError, match=f"no {missing}: .*--explain"):
        history.split_gap(part)


@pytest.mark.parametrize("val_loss", [[0.4], [], [0.4, 0.3, 0.2]])
def test_a_history_that_was_not_validated_each_epoch_cannot_be_split(val_loss):
    with pytest.raises(HistoryError, match="validation_freq=1") as error:
        history.split_gap({**MEASURED, "val_loss": val_loss})
    assert "\n" not in str(error.value)


def test_infinite_losses_are_split_without_a_warning(recwarn):
    parts = history.split_gap({**MEASURED, "loss": [INF, 1], "val_loss": [INF, 1]})
    assert np.isinf(parts["timing"][0]) and np.isinf(parts["data"][0])
    assert not recwarn.list
