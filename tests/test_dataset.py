import gzip
import shutil
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import TINY_CACHE

from pyimagesearch import dataset
from pyimagesearch.endings import UsageError

TINY_FILES = TINY_CACHE / "datasets" / "fashion-mnist"
FILES = sorted(file.name for file in TINY_FILES.iterdir())
IMAGES = [name for name in FILES if "images" in name]
LABELS = [name for name in FILES if "labels" in name]


@pytest.fixture
def no_network(monkeypatch):
    """Every download meets a proxy that is not there."""
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    urllib.request.install_opener(None)
    yield
    urllib.request.install_opener(None)


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setattr(dataset, "PACKAGE_FOLDER", Path("not installed").resolve())


def test_it_is_what_keras_loads_as_network_input():
    (x_train, y_train), (x_test, y_test) = dataset.load_data()
    train, test = keras.datasets.fashion_mnist.load_data()
    assert x_train.shape == (320, 28, 28, 1) and x_test.shape == (100, 28, 28, 1)
    for x, y, (images, labels) in [(x_train, y_train, train), (x_test, y_test, test)]:
        assert x.dtype == y.dtype == "float32"
        assert x.min() == 0 and x.max() == 1
        np.testing.assert_allclose(x[..., 0] * 255, images, rtol=1e-6)
        np.testing.assert_array_equal(y, np.eye(10)[labels])


def test_the_label_names_are_the_tutorials():
    names = "top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag"
    assert ", ".join(dataset.LABEL_NAMES) == f"{names}, ankle boot"


def test_it_puts_the_channel_first_where_keras_does():
    keras.config.set_image_data_format("channels_first")
    try:
        (x_train, _), _ = dataset.load_data()
    finally:
        keras.config.set_image_data_format("channels_last")
    assert x_train.shape == (320, 1, 28, 28)


def test_debians_package_fills_the_cache_without_a_network(
    data_folder, monkeypatch, no_network
):
    expected = dataset.load_data()
    shutil.rmtree(data_folder)
    monkeypatch.setattr(dataset, "PACKAGE_FOLDER", TINY_FILES)
    np.testing.assert_equal(dataset.load_data(), expected)
    assert sorted(file.name for file in data_folder.iterdir()) == FILES


def test_a_file_in_the_cache_goes_before_the_packages(data_folder, monkeypatch):
    header = bytes.fromhex("0000080100000140")
    content = gzip.compress(header + bytes(range(10)) * 32)
    (data_folder / "train-labels-idx1-ubyte.gz").write_bytes(content)
    monkeypatch.setattr(dataset, "PACKAGE_FOLDER", TINY_FILES)
    (_, y_train), _ = dataset.load_data()
    assert list(y_train.argmax(axis=1)[:10]) == list(range(10))


def test_without_cache_package_and_network_it_names_both_ways_out(
    data_folder, no_network, no_package
):
    (data_folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(dataset.DatasetError) as error:
        dataset.load_data()
    message = str(error.value)
    assert "internet" in message and "dataset-fashion-mnist" in message
    assert "\n" not in message


def test_a_bug_is_not_called_a_failed_download(monkeypatch):
    def bug(*args, **options):
        raise Exception("a bug")  # noqa: TRY002 - as bare as Keras' own

    monkeypatch.setattr(keras.utils, "get_file", bug)
    with pytest.raises(Exception, match="^a bug$"):
        dataset.load_data()


def cut_short(content):
    return content[: len(content) // 2]


def web_page(content):
    return b"<html>\n<body>Please log in.</body>\n</html>\n"


def nothing(content):
    return b""


def changed(content):
    return content[:60] + bytes([content[60] ^ 0xFF]) + content[61:]


def edited(edit):
    def damage(content):
        return gzip.compress(edit(gzip.decompress(content)))

    damage.__name__ = edit.__name__
    return damage


@edited
def one_less(content):
    return content[:-1]


@edited
def one_more(content):
    return content + b"\0"


@edited
def no_header(content):
    return content[4:]


@edited
def only_a_kind(content):
    return content[:4]


@edited
def another_kind(content):
    return content[:2] + b"\x0d" + content[3:]


@edited
def none_at_all(content):
    return content[:4] + b"\0\0\0\0" + content[8 : 16 if content[3] == 3 else 8]


@edited
def one_item_less(content):
    count = int.from_bytes(content[4:8], "big")
    size = 28 * 28 if content[3] == 3 else 1
    return content[:4] + (count - 1).to_bytes(4, "big") + content[8:-size]


@edited
def two_images_in_one(content):
    count = int.from_bytes(content[4:8], "big")
    return (
        content[:4]
        + (count // 2).to_bytes(4, "big")
        + (56).to_bytes(4, "big")
        + content[12:]
    )


@edited
def images_of_14_by_56(content):
    return content[:8] + bytes([0, 0, 0, 14, 0, 0, 0, 56]) + content[16:]


@edited
def eleventh_label(content):
    return content[:-1] + b"\x0a"


@edited
def nine_labels(content):
    return content[:8] + content[8:].replace(b"\x09", b"\x08")


ANY = [cut_short, web_page, nothing, changed, one_less, one_more, no_header]
ANY += [only_a_kind, another_kind, none_at_all, one_item_less]


@pytest.mark.parametrize(
    "name, damage",
    [(name, damage) for name in FILES for damage in ANY]
    + [
        (name, damage)
        for name in IMAGES
        for damage in [two_images_in_one, images_of_14_by_56]
    ]
    + [(name, damage) for name in LABELS for damage in [eleventh_label, nine_labels]],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_damaged_files_are_never_trained_on(data_folder, name, damage):
    file = data_folder / name
    content = damage(file.read_bytes())
    file.write_bytes(content)
    with pytest.raises(dataset.DatasetError) as error:
        dataset.load_data()
    message = str(error.value)
    assert str(data_folder) in message and "delete" in message
    assert name.split("-")[0] in message and "\n" not in message
    assert file.read_bytes() == content  # it deletes nothing itself


def test_a_file_that_cannot_be_read_is_named(data_folder):
    file = data_folder / "train-labels-idx1-ubyte.gz"
    file.unlink()
    file.mkdir()
    with pytest.raises(dataset.DatasetError) as error:
        dataset.load_data()
    assert file.name in str(error.value) and "KERAS_HOME" in str(error.value)


def orders(data_set, epochs):
    return [np.concatenate([x for x, _ in data_set]).tolist() for _ in range(epochs)]


def test_every_epoch_visits_all_images_in_a_new_order_that_the_seed_repeats():
    numbers = np.arange(320)
    first, second, third = orders(dataset.shuffled_batches(numbers, numbers, 32, 7), 3)
    for order in (first, second, third):
        assert sorted(order) == list(range(320))
    assert len({tuple(order) for order in (first, second, third)}) == 3
    # Any image may come at any place, so the last hundred come early too.
    assert max(first[:32]) > 220 and min(first[-32:]) < 100
    again = dataset.shuffled_batches(numbers, numbers, 32, 7)
    assert orders(again, 3) == [first, second, third]
    other = dataset.shuffled_batches(numbers, numbers, 32, 8)
    assert orders(other, 1) != [first]


def test_the_last_batch_is_what_is_left_and_images_keep_their_labels():
    numbers = np.arange(320)
    batches = list(dataset.shuffled_batches(numbers, -numbers, batch_size=48))
    assert [len(x) for x, _ in batches] == [48] * 6 + [32]
    for x, y in batches:
        np.testing.assert_array_equal(x, -y)


def test_what_is_held_out_and_what_is_left_are_the_training_set():
    (x_train, y_train), _ = dataset.load_data()
    x, y, x_held_out, y_held_out = dataset.hold_out(x_train, y_train, 100, 32, seed=7)
    assert len(x) == len(y) == 220 and len(x_held_out) == len(y_held_out) == 100

    def pairs(x, y):
        return sorted((a.tobytes(), b.tobytes()) for a, b in zip(x, y))

    both = pairs(x, y) + pairs(x_held_out, y_held_out)
    assert sorted(both) == pairs(x_train, y_train)
    assert pairs(x_train[:100], y_train[:100]) != pairs(x_held_out, y_held_out)
    again = dataset.hold_out(x_train, y_train, 100, 32, seed=7)
    np.testing.assert_equal(again, (x, y, x_held_out, y_held_out))
    other = dataset.hold_out(x_train, y_train, 100, 32, seed=8)
    assert (other[2] != x_held_out).any()


def test_a_batch_is_left_to_train_on():
    numbers = np.arange(320)
    assert len(dataset.hold_out(numbers, numbers, 288, 32)[0]) == 32
    with pytest.raises(UsageError, match="--hold-out: 289 .* from 1 to 288"):
        dataset.hold_out(numbers, numbers, 289, 32)
    with pytest.raises(UsageError):
        dataset.hold_out(numbers, numbers, 320, 32)
