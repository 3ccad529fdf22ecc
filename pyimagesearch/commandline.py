"""The command lines of both scripts: mistakes in one line, numbers and files checked."""

import argparse
import math
import os
from pathlib import Path

import numpy as np

from pyimagesearch import wholefile
from pyimagesearch.endings import UsageError

# TensorFlow counts in 32 bits at places.
MOST = 2**31 - 1


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that answers a mistake in one line, without the usage."""

    def error(self, message):
        raise UsageError(message)


def positive_integer(text: str) -> int:
    return whole_number(text, 1, MOST)


def seed(text: str) -> int:
    # NumPy takes no other seeds.
    return whole_number(text, 0, 2**32 - 1)


def whole_number(text, smallest, largest):
    try:
        number = int(text)
    except ValueError:
        number = None  # not a number, or one of more digits than Python reads
    if number is None or not smallest <= number <= largest:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a whole number from {smallest} to {largest}"
        )
    return number


def learning_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    # Keras computes in float32, which has neither 1e39 nor 1e-46.
    with np.errstate(over="ignore", under="ignore"):
        if not 0 < np.float32(rate) < math.inf:
            raise argparse.ArgumentTypeError(
                f"'{text}' is not a number above 0 that float32 can hold, such as 0.01"
            )
    return rate


def output_file(text: str) -> Path:
    """A file, there already or not, that can be written when the work is done."""
    path = Path(text)
    try:
        if path.exists() and not path.is_file():
            raise argparse.ArgumentTypeError(f"{text} is not a file: add a file name")
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise argparse.ArgumentTypeError(
                f"the folder {target.parent} does not exist: create it first"
            )
        # Only trying tells of permissions, read-only disks and names too long, like
        # that of the longest file which will be there for a while.
        trial = wholefile.temporary(Path(f"{target}.1000.partial"))
        open(trial, "xb").close()
        trial.unlink()
    except (OSError, ValueError) as error:
        # A ValueError is a null character in the name.
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(
            f"{text} cannot be written ({reason}): choose another file"
        ) from error
    return path
