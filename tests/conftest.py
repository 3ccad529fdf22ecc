"""What the tests share: tiny real Fashion MNIST, and the scripts as processes.

`tests/keras` is laid out like Keras' cache. Its four files hold the first 320 training
and the first 100 test images of Fashion MNIST, in the original files' own format.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY_CACHE = ROOT / "tests" / "keras"

# Keras reads this once, when it is imported, so it is set before any test module is.
KERAS_HOME = Path(tempfile.mkdtemp(prefix="keras-"))
os.environ["KERAS_HOME"] = str(KERAS_HOME)
os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session", autouse=True)
def keras_home():
    fill_cache()
    yield
    shutil.rmtree(KERAS_HOME)


@pytest.fixture(autouse=True)
def data_folder(keras_home):
    """The folder of the four files in the Keras cache, whole again after the test."""
    yield KERAS_HOME / "datasets" / "fashion-mnist"
    shutil.rmtree(KERAS_HOME / "datasets", ignore_errors=True)
    fill_cache()


def fill_cache():
    shutil.copytree(TINY_CACHE, KERAS_HOME, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def start(keras_home):
    """Start a script as a person does; what still runs at the end is killed."""
    processes = []
    # The scripts set it for themselves, and they run in this process too.
    environment = dict(os.environ)
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)

    def start(script, *arguments, variables=None, **options):
        process = subprocess.Popen(
            [sys.executable, ROOT / script, *arguments],
            env={**environment, **(variables or {})},
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def run(start):
    """Run a script to its end: its exit status, stdout and stderr."""

    def run(script, *arguments, **options):
        process = start(script, *arguments, **options)
        stdout, stderr = process.communicate()
        return process.returncode, stdout, stderr

    return run
