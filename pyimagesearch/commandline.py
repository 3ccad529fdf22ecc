"""The command line of both scripts: one-line errors and checked numbers."""

import argparse
import math
import tempfile
from pathlib import Path


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that answers a mistake in one line, without the usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def positive_integer(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def positive_number(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive, finite number")
    return number


def seed(text: str) -> int:
    number = int(text)
    # NumPy takes no other seeds.
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {2**32 - 1}")
    return number


def new_file(text: str) -> Path:
    """A file that can be written when the work is done."""
    path = Path(text)
    try:
        if path.exists() and not path.is_file():
            raise argparse.ArgumentTypeError(f"{text} is not a file: add a file name")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(
                f"the folder {path.parent} does not exist: create it first"
            )
        # Only trying tells of permissions, read-only disks and names too long.
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=path.name, suffix=".partial"
        ):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{text} cannot be written ({error.strerror}): choose another file"
        ) from error
    return path
