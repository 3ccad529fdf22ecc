"""Fashion MNIST as arrays: the only place that knows where its files come from."""

import gzip
import http.client
import zlib
from pathlib import Path

import keras
import numpy as np
from keras.datasets import fashion_mnist

LABEL_NAMES = [
    "top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
]

# The four files as Keras' loader calls them, and where it keeps them in its cache.
FILES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]
CACHE_SUBDIR = "datasets/fashion-mnist"

# Debian and Ubuntu have the same four files in a package of their own.
PACKAGE = "dataset-fashion-mnist"
PACKAGE_FOLDER = Path("/usr/share/datasets/fashion-mnist")


class DatasetError(Exception):
    """The data set cannot be had; the message is one line that says what to do."""


def load_data():
    """Load Fashion MNIST, ready to train on.

    The files are those of Keras' own loader, from its cache (`~/.keras`, or the
    folder in `KERAS_HOME`). What the cache lacks comes from Debian's package
    `dataset-fashion-mnist` where it is installed, and else from the network.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, with 60,000 training and 10,000 test
        images. `x_*` are float32 in [0, 1] with the shape `(n, 28, 28, 1)`, or
        `(n, 1, 28, 28)` where Keras is set to channels first. `y_*` are one-hot
        labels, float32 with the shape `(n, 10)`, in the order of `LABEL_NAMES`.

    Raises:
        DatasetError: if nothing provides the files, or if they are damaged.

    Source: Zalando Research, https://github.com/zalandoresearch/fashion-mnist
    """
    try:
        fill_cache_from_package()
        train, test = fashion_mnist.load_data()
    except (gzip.BadGzipFile, EOFError, ValueError, zlib.error) as error:
        raise damaged(error) from error
    except (OSError, http.client.HTTPException) as error:
        raise DatasetError(
            f"Fashion MNIST cannot be loaded ({error}): make room or give access there, "
            "or set KERAS_HOME to another folder"
        ) from error
    except Exception as error:
        # Keras reports a failed download as a bare Exception.
        if type(error) is not Exception:
            raise
        raise DatasetError(
            "Fashion MNIST is not in Keras' cache and cannot be downloaded: connect to "
            f"the internet, or install the Debian or Ubuntu package {PACKAGE}"
        ) from error

    return as_network_input(*train), as_network_input(*test)


def fill_cache_from_package():
    """Copy what Keras' cache lacks from Debian's package, if that is installed."""
    for name in FILES:
        if (PACKAGE_FOLDER / name).is_file():
            cached(name)


def cached(name):
    """Return the path of a file in Keras' cache; a missing one is copied there."""
    origin = (PACKAGE_FOLDER / name).as_uri()
    return Path(keras.utils.get_file(name, origin, cache_subdir=CACHE_SUBDIR))


def damaged(reason):
    # Keras' loader opens the first file only when the cache has all four.
    folder = cached(FILES[0]).parent
    reason = " ".join(str(reason).split())
    return DatasetError(
        f"Fashion MNIST in {folder} is damaged ({reason}): delete that folder, "
        "then start again"
    )


def as_network_input(images, labels):
    if len(labels) == 0:
        raise damaged("it has no images")
    if labels.max() >= len(LABEL_NAMES):
        raise damaged(f"it has the label {labels.max()}")
    channels_first = keras.config.image_data_format() == "channels_first"
    x = np.expand_dims(images.astype("float32") / 255.0, 1 if channels_first else -1)
    return x, keras.utils.to_categorical(labels, len(LABEL_NAMES))
