import os
import pickle

import numpy as np
import pytest

from pyimagesearch.history import HistoryError, load, save

LOSSES = {"loss": [0.5, 0.25], "val_loss": [0.4, 0.3]}
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def loaded(path, content):
    if content is not None:
        path.write_bytes(content)
    return load(path)


def dumps(history, **more):
    return pickle.dumps(history | more)


def test_what_is_saved_is_plain_python(path):
    losses = {"loss": [np.float32(0.5), 1], "val_loss": np.array([np.nan, np.inf])}
    save({**losses, "f1_score": [np.ones(2), np.zeros(2)]}, path)
    saved = {"loss": [0.5, 1.0], "val_loss": [np.nan, np.inf]}
    np.testing.assert_equal(load(path), saved)
    saved["f1_score"] = [[1, 1], [0, 0]]
    np.testing.assert_equal(pickle.loads(path.read_bytes()), saved)
    assert b"numpy" not in path.read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_a_history_that_cannot_be_written_is_a_line_and_the_old_one_stays(path):
    save(LOSSES, path)
    path.with_name("training.pickle.tmp").mkdir()  # in the way
    with pytest.raises(HistoryError, match="training.pickle cannot be written"):
        save({"loss": [1], "val_loss": [1]}, path)
    assert load(path) == LOSSES


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_of_numpy_are_loaded_and_arrays_do_not_stop_it(path, protocol):
    history = {
        "loss": [np.float32(0.5), np.float64(0.25)],
        "val_loss": [0.4, np.int64(3)],
        "lr": [np.float32(0.01), np.float16(0.5)],
        "confusion": [np.eye(3), np.arange(6).reshape(2, 3).T],
        "flags": [np.bool_(True), True, None, b"x", ("a", 1)],
        "text": np.array(["a"]),
    }
    read = loaded(path, pickle.dumps(history, protocol=protocol))
    assert read["loss"] == [0.5, 0.25] and read["val_loss"] == [0.4, 3]
    assert {type(value) for value in read["loss"] + read["lr"]} == {float}


def test_histories_of_python_2_are_loaded(path):
    # What Python 2.7 wrote of {"loss": [numpy.float64(0.55)], "val_loss": [1]}.
    content = (
        b"\x80\x02}q\x00(U\x04lossq\x01]q\x02cnumpy.core.multiarray\nscalar\nq\x03cnum"
        b"py\ndtype\nq\x04U\x02f8q\x05K\x00K\x01\x87q\x06Rq\x07(K\x03U\x01<q\x08NNNJ\xff"
        b"\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\tbU\x08\x9a\x99\x99\x99\x99\x99\xe1?q\n"
        b"\x86q\x0bRq\x0caU\x08val_lossq\r]q\x0eK\x01au."
    )
    assert loaded(path, content) == {"loss": [0.55], "val_loss": [1]}


class Call:
    """A pickle of this calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_runs_no_code(path, protocol):
    crime = path.with_name("crime")
    call = Call(os.mkdir, str(crime))
    content = pickle.dumps({**LOSSES, "x": call}, protocol=protocol)
    with pytest.raises(HistoryError, match=f"{path} .*it asks for .*mkdir"):
        loaded(path, content)
    assert not crime.exists()
    pickle.loads(content)
    assert crime.exists()  # it would have


class Forged:
    """What NumPy would follow to any place in memory."""

    def __reduce__(self):
        pointer = {"version": 3, "typestr": "<f8", "data": (id(LOSSES), True)}
        state = {"__array_interface__": {**pointer, "shape": (8,)}}
        return np.dtype, ("f8",), (3, "<", state)


TOO_SHORT = Call(np.float64(1).__reduce__()[0], np.dtype("f8"), b"1234")


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "cannot be loaded"),  # no file
        (pickle.dumps(LOSSES)[:-20], "cannot be loaded"),
        (b"Dear student,\n", "cannot be loaded"),
        (pickle.dumps([0.5]), "is no training history"),
        (dumps({"accuracy": [0.5]}), "is no training history"),
        (dumps({"loss": [0.5]}), "has no val_loss: train with validation data"),
        (dumps(LOSSES, val_loss=[0.5]), "loss 2, val_loss 1.*validation_freq=1"),
        (dumps({"loss": [], "val_loss": []}), "loss 0, val_loss 0"),
        (dumps(LOSSES, loss=[[1], [2]]), "loss is not a list of numbers"),
        (dumps(LOSSES, loss=np.ones(2)), "loss is not a list of numbers"),
        (dumps(LOSSES, val_loss=0.5), "val_loss is not a list of numbers"),
        (dumps(LOSSES, loss=[Forged(), 0.5]), "loss is not a list of numbers"),
        (dumps(LOSSES, loss=[TOO_SHORT, 0.5]), "cannot be loaded"),
    ],
)
def test_what_is_no_history_is_refused_in_a_line(path, content, message):
    with pytest.raises(HistoryError, match=message) as error:
        loaded(path, content)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_number_for_each_epoch_is_left_out(path):
    more = {"accuracy": [0.5, 1], "short": [1], "text": ["1", 1], "true": [True, True]}
    content = dumps(LOSSES, **more, one=0.5, forged=Forged(), two=[Forged(), 1])
    assert loaded(path, content) == LOSSES | {"accuracy": [0.5, 1]}
