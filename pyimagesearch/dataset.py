"""Fashion MNIST's arrays: the only place that knows where the files come from."""

import gzip
import zlib
from pathlib import Path

import keras
import numpy as np

# Where Keras' own loader fetches the four files, and where it keeps them in its cache.
ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
CACHE_SUBDIR = "datasets/fashion-mnist"

# Debian and Ubuntu have the same four files in a package.
PACKAGE = "dataset-fashion-mnist"
PACKAGE_FOLDER = Path("/usr/share/datasets/fashion-mnist")


class DatasetError(Exception):
    """The data set cannot be loaded; the message says why and what to do."""


def load_data():
    """Load Fashion MNIST, as `keras.datasets.fashion_mnist.load_data` does.

    The files are those in Keras' cache (`~/.keras`, or the folder in `KERAS_HOME`).
    What the cache lacks comes from Debian's package `dataset-fashion-mnist` where it is
    installed, and else from the network.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, all uint8: 60,000 training and 10,000
        test images of the shape `(n, 28, 28)`, and class numbers from 0 to 9 of the
        shape `(n,)`.

    Raises:
        DatasetError: if nothing provides the files, or if they are damaged.

    Source: Zalando Research, https://github.com/zalandoresearch/fashion-mnist
    """
    return load_part("train"), load_part("t10k")


def load_part(part):
    images_path = fetch(f"{part}-images-idx3-ubyte.gz")
    labels_path = fetch(f"{part}-labels-idx1-ubyte.gz")
    # Not by Keras' loader: from Keras 3.16 on it asks for the checksums of the original
    # files, and Debian has compressed them anew.
    try:
        images = gzip.decompress(images_path.read_bytes())[16:]  # behind the headers
        labels = np.frombuffer(gzip.decompress(labels_path.read_bytes())[8:], np.uint8)
        return np.frombuffer(images, np.uint8).reshape(len(labels), 28, 28), labels
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DatasetError(
            f"Fashion MNIST is damaged or cannot be read ({part}: {error}): delete the "
            f"folder {images_path.parent}, then start again"
        ) from error


def fetch(name):
    """Return the path of a file in Keras' cache; a missing one is fetched first."""
    packaged = PACKAGE_FOLDER / name
    origin = packaged.as_uri() if packaged.is_file() else ORIGIN + name
    try:
        return Path(keras.utils.get_file(name, origin, cache_subdir=CACHE_SUBDIR))
    except Exception as error:  # Keras' own for a failed download is no narrower
        raise DatasetError(
            f"Fashion MNIST is not in Keras' cache and cannot be fetched ({error}): "
            f"connect to the internet, or install {PACKAGE} (Debian, Ubuntu)"
        ) from error
