"""What the tests share: a tiny Fashion MNIST, a place for a history, no open figures.

`tests/keras` is laid out like Keras' cache: the first 320 training and the first 100
test images of Fashion MNIST, in the original files' own format.
"""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY_CACHE = ROOT / "tests" / "keras"

# Keras and matplotlib read these when they are imported.
os.environ["KERAS_HOME"] = str(TINY_CACHE)
os.environ["MPLBACKEND"] = "agg"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "lossgap")]

import matplotlib.pyplot as plt

# Sets what TensorFlow reads when it is imported, which other tests may do first.
from fashion_mnist import tf

# Two processors for what tests several replicas.
(CPU,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    CPU, [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


@pytest.fixture(autouse=True)
def no_figures_are_left():
    yield
    plt.close("all")
