import gzip
import shutil
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import TINY_CACHE

from pyimagesearch import dataset

TINY_FILES = TINY_CACHE / "datasets" / "fashion-mnist"


@pytest.fixture
def no_network(monkeypatch):
    """Every download meets a proxy that is not there."""
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    urllib.request.install_opener(None)
    yield
    urllib.request.install_opener(None)


def test_it_is_what_keras_loads_as_network_input():
    (x_train, y_train), (x_test, y_test) = dataset.load_data()
    (images, labels), _ = keras.datasets.fashion_mnist.load_data()
    assert x_train.shape == (320, 28, 28, 1) and x_test.shape == (100, 28, 28, 1)
    assert y_train.shape == (320, 10) and y_test.shape == (100, 10)
    assert x_train.dtype == x_test.dtype == "float32"
    assert x_train.min() == 0 and x_train.max() == 1
    np.testing.assert_allclose(x_train[..., 0] * 255, images, rtol=1e-6)
    assert set(np.unique(y_train)) == {0, 1}
    assert (y_train.argmax(axis=1) == labels).all()
    assert set(labels) == set(range(len(dataset.LABEL_NAMES)))


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
    assert sorted(file.name for file in data_folder.iterdir()) == sorted(dataset.FILES)


def test_a_file_in_the_cache_goes_before_the_packages(data_folder, monkeypatch):
    content = gzip.compress(b"\0" * 8 + bytes(range(10)) * 32)
    (data_folder / "train-labels-idx1-ubyte.gz").write_bytes(content)
    monkeypatch.setattr(dataset, "PACKAGE_FOLDER", TINY_FILES)
    (_, y_train), _ = dataset.load_data()
    assert list(y_train.argmax(axis=1)[:10]) == list(range(10))


def test_without_cache_package_and_network_it_names_both_ways_out(
    data_folder, monkeypatch, no_network
):
    (data_folder / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setattr(dataset, "PACKAGE_FOLDER", Path("not installed").resolve())
    with pytest.raises(dataset.DatasetError) as error:
        dataset.load_data()
    message = str(error.value)
    assert "internet" in message and "dataset-fashion-mnist" in message
    assert "\n" not in message


def cut_short(content):
    return content[: len(content) // 2]


def web_page(content):
    return b"<html>\n<body>Please log in.</body>\n</html>\n"


def nothing(content):
    return b""


def changed(content):
    return content[:100] + b"\0\0\0\0" + content[104:]


def one_less(content):
    return gzip.compress(gzip.decompress(content)[:-1])


def no_images(content):
    return gzip.compress(b"\0" * 16)


@pytest.mark.parametrize("name", dataset.FILES)
@pytest.mark.parametrize("damage", [cut_short, web_page, nothing, one_less])
def test_damaged_files_are_never_trained_on(data_folder, name, damage):
    assert_damage_is_explained(data_folder, name, damage)


@pytest.mark.parametrize("name", [name for name in dataset.FILES if "images" in name])
@pytest.mark.parametrize("damage", [changed, no_images])
def test_damaged_images_are_never_trained_on(data_folder, name, damage):
    assert_damage_is_explained(data_folder, name, damage)


def test_labels_of_no_class_are_never_trained_on(data_folder):
    def wrong_label(content):
        return gzip.compress(gzip.decompress(content)[:-1] + b"\x0a")

    name = "t10k-labels-idx1-ubyte.gz"
    assert_damage_is_explained(data_folder, name, wrong_label)


def test_a_data_set_without_images_is_never_trained_on(data_folder):
    for name in dataset.FILES:
        header = 16 if "images" in name else 8
        (data_folder / name).write_bytes(gzip.compress(b"\0" * header))
    with pytest.raises(dataset.DatasetError, match="no images"):
        dataset.load_data()


def test_a_file_that_cannot_be_read_is_named(data_folder):
    file = data_folder / "train-labels-idx1-ubyte.gz"
    file.unlink()
    file.mkdir()
    with pytest.raises(dataset.DatasetError) as error:
        dataset.load_data()
    assert str(file) in str(error.value) and "KERAS_HOME" in str(error.value)
    assert "\n" not in str(error.value)


def assert_damage_is_explained(data_folder, name, damage):
    file = data_folder / name
    content = damage(file.read_bytes())
    file.write_bytes(content)
    with pytest.raises(dataset.DatasetError) as error:
        dataset.load_data()
    message = str(error.value)
    assert str(data_folder) in message and "delete" in message
    assert "\n" not in message
    assert file.read_bytes() == content  # it deletes nothing itself
