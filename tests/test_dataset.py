import gzip
import shutil
import urllib.request

import keras
import numpy as np
import pytest
from conftest import TINY_CACHE

from pyimagesearch import dataset

TINY_FILES = TINY_CACHE / dataset.CACHE_SUBDIR


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The four files, in a Keras cache of this test's own."""
    cached = tmp_path / "datasets"
    shutil.copytree(TINY_FILES, cached)
    monkeypatch.setattr(dataset, "CACHE_SUBDIR", str(cached))
    return cached


@pytest.fixture
def no_network(monkeypatch):
    """Every download meets a proxy that is not there."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    urllib.request.install_opener(None)
    yield
    urllib.request.install_opener(None)


def test_it_is_what_keras_loads():
    (x_train, y_train), (x_test, y_test) = loaded = dataset.load_data()
    assert x_train.shape == (320, 28, 28) and x_test.shape == (100, 28, 28)
    assert set(y_train) == set(y_test) == set(range(10))
    try:
        expected = keras.datasets.fashion_mnist.load_data()
    except ValueError:
        pytest.skip("this Keras loads the original files only")
    np.testing.assert_equal(loaded, expected)


def test_debians_package_fills_the_cache(files, monkeypatch, no_network):
    shutil.rmtree(files)
    monkeypatch.setattr(dataset, "PACKAGE_FOLDER", TINY_FILES)
    (x_train, _), _ = dataset.load_data()
    assert len(x_train) == 320 and len(list(files.iterdir())) == 4


def test_without_any_source_it_names_two_ways_out(files, monkeypatch, no_network):
    (files / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setattr(dataset, "PACKAGE_FOLDER", files / "not installed")
    with pytest.raises(dataset.DatasetError, match="internet.*dataset-fashion-mnist"):
        dataset.load_data()


def test_damaged_files_are_never_trained_on(files):
    file = files / "train-labels-idx1-ubyte.gz"
    content = file.read_bytes()
    one_label_less = gzip.compress(gzip.decompress(content)[:-1])
    for damaged in (content[:100], b"<html>\nPlease log in.\n", one_label_less):
        file.write_bytes(damaged)
        with pytest.raises(dataset.DatasetError, match="damaged.*delete") as error:
            dataset.load_data()
        assert str(files) in str(error.value) and "\n" not in str(error.value)
