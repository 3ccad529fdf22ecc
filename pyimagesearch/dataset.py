"""Fashion MNIST as arrays and batches: it alone knows where the files come from."""

import gzip
import http.client
import urllib.error
import zlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.model_selection import train_test_split

from pyimagesearch.endings import ExplainedError, UsageError

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

# Where Keras' own loader keeps its four files in its cache, and where it finds them.
CACHE_SUBDIR = "datasets/fashion-mnist"
ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

# Debian and Ubuntu have the same four files, compressed anew, in a package.
PACKAGE = "dataset-fashion-mnist"
PACKAGE_FOLDER = Path("/usr/share/datasets/fashion-mnist")


class DatasetError(ExplainedError):
    """The data set cannot be loaded; the message is one line that says what to do."""


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
    return load_part("train"), load_part("t10k")


def load_part(part):
    images = read(f"{part}-images-idx3-ubyte.gz", item_shape=(28, 28))
    labels = read(f"{part}-labels-idx1-ubyte.gz", item_shape=())
    if len(images) != len(labels):
        reason = f"{len(images)} images and {len(labels)} labels in {part}-*"
        raise damaged(find(f"{part}-images-idx3-ubyte.gz"), reason)
    channels_first = keras.config.image_data_format() == "channels_first"
    x = np.expand_dims(images.astype("float32") / 255.0, 1 if channels_first else -1)
    y = keras.utils.to_categorical(labels, len(LABEL_NAMES))
    return x, y.astype("float32")


def read(name, item_shape):
    """Read one of the files: bytes behind a header with the kind and the counts.

    The files are read here and not by Keras' loader because that may ask for the
    checksums of the original files one day, as its loader of MNIST does, and Debian's
    have others.
    """
    path = find(name)
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, error) from error
    except OSError as error:
        raise inaccessible(error) from error

    kind = bytes([0, 0, 8, 1 + len(item_shape)])  # 8: unsigned bytes
    header = len(kind) * (2 + len(item_shape))
    if content[:4] != kind or len(content) < header:
        raise damaged(path, "it does not start like a file of this kind")
    count, *shape = map(int, np.frombuffer(content[4:header], ">u4"))
    if tuple(shape) != item_shape:
        raise damaged(path, f"its images are {shape[0]} x {shape[1]} pixels")
    items = np.frombuffer(content[header:], np.uint8)
    if len(items) != count * int(np.prod(item_shape)):
        raise damaged(path, f"it is not {count} entries long")
    if not item_shape and set(items.tolist()) != set(range(len(LABEL_NAMES))):
        raise damaged(path, "its labels are not the numbers 0 to 9, each at least once")
    return items.reshape(count, *item_shape)


def find(name):
    """Return the path of a file in Keras' cache; a missing one is fetched first."""
    packaged = PACKAGE_FOLDER / name
    origin = packaged.as_uri() if packaged.is_file() else ORIGIN + name
    try:
        return Path(keras.utils.get_file(name, origin, cache_subdir=CACHE_SUBDIR))
    except (OSError, http.client.HTTPException) as error:
        raise inaccessible(error) from error
    except Exception as error:
        # Keras turns a failed download into a bare Exception.
        if not isinstance(error.__context__, urllib.error.URLError):
            raise
        raise DatasetError(
            "Fashion MNIST is not in Keras' cache and cannot be downloaded: connect to "
            f"the internet, or install the Debian or Ubuntu package {PACKAGE}"
        ) from error


def inaccessible(error):
    return DatasetError(
        f"Fashion MNIST cannot be loaded ({error}): make room or give access there, or "
        "set KERAS_HOME to another folder"
    )


def damaged(path, reason):
    return DatasetError(
        f"{path.name} in {path.parent} is damaged ({reason}): delete that folder, then "
        "start again"
    )


def hold_out(x, y, size, batch_size, seed=None):
    """Draw `size` images that stay out of the training.

    Returns:
        `x, y, x_held_out, y_held_out`: each image is in one of the two sets.

    Raises:
        UsageError: if less than a batch would be left to train on.
    """
    most = len(x) - batch_size
    if size > most:
        raise UsageError(
            f"argument --hold-out: {size} of the {len(x)} training images leave less "
            f"than a batch of {batch_size}: choose a number from 1 to {most}"
        )
    x, x_held_out, y, y_held_out = train_test_split(
        x, y, test_size=size, random_state=seed
    )
    return x, y, x_held_out, y_held_out


def shuffled_batches(x, y, batch_size, seed=None) -> tf.data.Dataset:
    """Return the images and labels in batches, in a new order each epoch.

    A seed repeats the orders, not one order: given arrays and a seed, Keras 3's `fit`
    repeats one order in every epoch, see
    https://github.com/tensorflow/tensorflow/issues/35682.
    """
    return (
        tf.data.Dataset.from_tensor_slices((x, y))
        .shuffle(len(x), seed=seed)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
