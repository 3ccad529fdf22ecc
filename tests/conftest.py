"""What the tests share: tiny real Fashion MNIST, and the scripts as processes.

`tests/keras` is laid out like Keras' cache. Its four files hold the first 320 training
and the first 100 test images of Fashion MNIST, in the original files' own format.
"""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY_CACHE = ROOT / "tests" / "keras"
# No process of the tests takes half as long, even beside other work.
DEADLINE = 300

# Keras reads this once, when it is imported, so it is set before any test module is.
KERAS_HOME = Path(tempfile.mkdtemp(prefix="keras-"))
os.environ["KERAS_HOME"] = str(KERAS_HOME)
os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(ROOT))

# What processes get: all but the variables that the script itself sets, here below, and
# a cache of their own, as tests damage the other one while processes run.
ENVIRONMENT = {**os.environ, "KERAS_HOME": str(KERAS_HOME / "processes")}

# LossGap, and Python itself now and then, looks at all objects. Those of the libraries
# never change: without them the tests are faster.
gc.disable()
import fashion_mnist  # noqa: F401
import plot_shift  # noqa: F401

gc.freeze()
gc.enable()

# A shell that starts the tests in the background ignores Ctrl-C; their processes obey it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def keras_home():
    fill_cache()
    shutil.copytree(TINY_CACHE, ENVIRONMENT["KERAS_HOME"])
    yield
    shutil.rmtree(KERAS_HOME)


@pytest.fixture(autouse=True)
def ctrl_c():
    """Whatever a test did to it, Ctrl-C is for the tests again."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
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

    def start(*arguments, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            **{"cwd": ROOT, "env": ENVIRONMENT, "text": True, **pipes, **options},
        )
        processes.append(process)
        if hasattr(os, "setpriority"):
            # What runs beside the tests does not hold them up.
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ended(process, timeout=DEADLINE):
    """Wait for a process: its exit status, stdout and stderr."""
    stdout, stderr = process.communicate(timeout=timeout)
    return process.returncode, stdout, stderr


@contextmanager
def full_disk(room):
    """Let no file become larger than `room` bytes, as where a disk is full."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def link(path, target, kind="symlink_to"):
    try:
        getattr(path, kind)(target)
    except OSError:
        pytest.skip("this user, or this system, cannot make links")


def pytest_collection_modifyitems(items):
    """Begin with the tests that start processes, and wait for those at the end."""

    def order(item):
        starts = not {"trainings", "loading", "scripts"}.isdisjoint(item.fixturenames)
        return "late" in item.fixturenames, not starts

    items.sort(key=order)
