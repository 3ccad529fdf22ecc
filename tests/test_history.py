import os
import pickle
import sys
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from pyimagesearch import history
from pyimagesearch.history import HistoryError

NAN, INF = float("nan"), float("inf")
LOSSES = {"loss": [0.5, 0.25], "val_loss": [0.4, 0.3]}


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


def test_what_is_saved_is_loaded(path):
    history.save({**LOSSES, "accuracy": [0.8, 0.9]}, path)
    loaded = history.load(path)
    np.testing.assert_equal(loaded["loss"], np.array([0.5, 0.25]))
    np.testing.assert_equal(loaded["val_loss"], np.array([0.4, 0.3]))
    assert loaded["accuracy"] == [0.8, 0.9]


def test_saving_leaves_nothing_but_the_file(path):
    history.save(LOSSES, path)
    history.save(LOSSES, path)
    assert list(path.parent.iterdir()) == [path]


def test_no_reader_sees_half_a_file(path):
    history.save(LOSSES, path)
    with open(path, "rb") as reader:
        history.save({"loss": [0.1] * 1000, "val_loss": [0.1] * 1000}, path)
        assert pickle.load(reader) == LOSSES  # the old file whole, under no name
    assert len(history.load(path)["loss"]) == 1000


def test_a_full_disk_leaves_the_earlier_file_whole(path, monkeypatch):
    resource = pytest.importorskip("resource")
    history.save(LOSSES, path)
    long = {"loss": [0.5] * 100_000, "val_loss": [0.5] * 100_000}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(HistoryError, match=r"training.pickle cannot be written"):
            history.save(long, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(history.load(path)["loss"]) == LOSSES["loss"]
    assert list(path.parent.iterdir()) == [path]


def test_nan_and_infinity_are_numbers(path):
    history.save({"loss": [0.5, NAN, INF], "val_loss": [0.4, -INF, NAN]}, path)
    np.testing.assert_equal(history.load(path)["loss"], [0.5, NAN, INF])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpys_numbers_and_arrays_are_loaded(path, protocol):
    content = {
        "loss": [np.float32(0.5), np.float64(0.25)],
        "val_loss": np.array([0.4, 0.3], dtype=">f4"),
        "training_mode_loss": np.array([[0.4, 0.1], [0.3, 0.1]])[:, 0],
        "inference_mode_loss": [np.float16(0.5), 1],
        "accuracy": np.asfortranarray([[1, 2], [3, 4]]),
    }
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    loaded = history.load(path)
    assert list(loaded["loss"]) == [0.5, 0.25]
    np.testing.assert_allclose(loaded["val_loss"], [0.4, 0.3], rtol=1e-6)
    assert list(loaded["training_mode_loss"]) == [0.4, 0.3]
    assert list(loaded["inference_mode_loss"]) == [0.5, 1]
    np.testing.assert_equal(np.asarray(loaded["accuracy"]), [[1, 2], [3, 4]])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_and_numbers_are_loaded(path, protocol):
    others = {
        "a": (1, None, True),
        "b": {2},
        "c": frozenset([3]),
        "d": 1j,
        "e": b"\xff",
    }
    content = OrderedDict(LOSSES, others=others, more=defaultdict(list))
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    loaded = history.load(path)
    assert loaded["others"] == others and loaded["more"] == {}


@pytest.mark.parametrize("numpy", [b"numpy.core.", b"numpy._core."])
def test_numpys_old_and_new_module_names_are_known(path, numpy):
    # By name in protocol 3, whose strings for names have no length to correct.
    content = pickle.dumps(
        {"loss": [np.float32(0.5)], "val_loss": np.ones(1)}, protocol=3
    )
    content = content.replace(b"numpy._core.", b"numpy.core.")
    path.write_bytes(content.replace(b"numpy.core.", numpy))
    assert numpy in path.read_bytes()
    assert list(history.load(path)["loss"]) == [0.5]


def test_histories_of_python_2_are_loaded(path):
    # What Python 2.7's pickle.dumps(H.history) wrote, as the tutorial's script did.
    path.write_bytes(
        b"(dp0\nS'loss'\np1\n(lp2\ncnumpy.core.multiarray\nscalar\np3\n(cnumpy\ndtype\n"
        b"p4\n(S'f8'\np5\nI0\nI1\ntp6\nRp7\n(I3\nS'<'\np8\nNNNI-1\nI-1\nI0\ntp9\nb"
        b"S'\\x9a\\x99\\x99\\x99\\x99\\x99\\xe1?'\np10\ntp11\nRp12\nasS'val_loss'\np13\n"
        b"(lp14\nF0.5\nas."
    )
    loaded = history.load(path)
    assert list(loaded["loss"]) == [0.55] and list(loaded["val_loss"]) == [0.5]


class Evil:
    """A pickle of this calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_runs_no_code(path, tmp_path, protocol):
    crime = tmp_path / "crime"
    content = pickle.dumps(
        {**LOSSES, "x": Evil(os.mkdir, str(crime))}, protocol=protocol
    )
    path.write_bytes(content)
    with pytest.raises(HistoryError, match=r"mkdir.*could run code"):
        history.load(path)
    assert not crime.exists()
    pickle.loads(content)
    assert crime.exists()  # it would have


@pytest.mark.parametrize(
    "function",
    [eval, getattr, print, bytearray, np.load, np.fromfile, np.memmap, np.zeros],
)
def test_all_but_containers_and_numbers_are_refused_by_name(path, function):
    path.write_bytes(pickle.dumps({**LOSSES, "x": Evil(function, "1")}))
    with pytest.raises(HistoryError, match=function.__name__):
        history.load(path)


def test_it_is_refused_before_it_is_imported(path):
    assert "antigravity" not in sys.modules
    path.write_bytes(b"cantigravity\nfly\n.")
    with pytest.raises(HistoryError, match="antigravity.fly"):
        history.load(path)
    assert "antigravity" not in sys.modules


def test_a_forged_dtype_cannot_read_memory(path):
    # NumPy's own functions would follow the eight letters as a pointer.
    forged = (
        b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(U\x08AAAAAAAA"
        b"cnumpy\ndtype\nU\x01O\x85R(K\x01tU\x01CtR."
    )
    path.write_bytes(forged)
    with pytest.raises(HistoryError, match="dtype 'O'"):
        history.load(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (pickle.dumps(LOSSES)[:-20], "is cut short"),
        (b"Dear student,\n", "not a pickle"),
        (pickle.dumps([0.5]), "holds a list, not a dict"),
        (pickle.dumps({"val_loss": [0.5]}), "has no loss"),
        (pickle.dumps({"loss": [0.5]}), "has no val_loss"),
        (pickle.dumps({"loss": [0.5], "val_loss": [0.5, 0.4]}), "unequal lengths"),
        (pickle.dumps({**LOSSES, "training_mode_loss": [1]}), "unequal lengths"),
        (pickle.dumps({"loss": [], "val_loss": []}), "no epochs"),
        (pickle.dumps({**LOSSES, "loss": ["0.5", "0.4"]}), "loss is not a list of num"),
        (
            pickle.dumps({**LOSSES, "loss": [0.5, None]}),
            "loss is not a list of numbers",
        ),
        (pickle.dumps({**LOSSES, "loss": [1, [2]]}), "loss is not a list of numbers"),
        (pickle.dumps({**LOSSES, "loss": [[1], [2]]}), "loss is not a list of numbers"),
        (pickle.dumps({**LOSSES, "loss": [1j, 2]}), "loss is not a list of numbers"),
        (pickle.dumps({**LOSSES, "loss": [True, False]}), "loss is not a list of num"),
        (
            pickle.dumps({**LOSSES, "val_loss": 0.5}),
            "val_loss is not a list of numbers",
        ),
    ],
)
def test_what_is_no_history_is_refused_in_a_line(path, content, message):
    path.write_bytes(content)
    with pytest.raises(HistoryError) as error:
        history.load(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_refused_in_a_line(tmp_path):
    with pytest.raises(HistoryError, match="no.pickle cannot be read"):
        history.load(tmp_path / "no.pickle")
    with pytest.raises(HistoryError, match=r"cannot be read \(Is a directory\)"):
        history.load(tmp_path)


def test_a_huge_index_in_damaged_data_takes_no_memory(path):
    # The unpickler in C would fill 32 GB before it finds the data to be short.
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f")
    with pytest.raises(HistoryError, match="cut short"):
        history.load(path)


def test_the_parts_add_up_to_the_gap():
    measured = {"training_mode_loss": [0.35, 0.26], "inference_mode_loss": [0.3, 0.2]}
    parts = history.split_gap({**LOSSES, **measured})
    assert list(parts) == ["timing", "regularization", "data"]
    np.testing.assert_allclose(parts["timing"], [0.15, -0.01])
    np.testing.assert_allclose(parts["regularization"], [0.05, 0.06])
    np.testing.assert_allclose(parts["data"], [-0.1, -0.1])
    np.testing.assert_allclose(sum(parts.values()), [0.1, -0.05])


def test_a_history_that_was_not_measured_cannot_be_split():
    with pytest.raises(HistoryError, match="--explain"):
        history.split_gap(LOSSES)
