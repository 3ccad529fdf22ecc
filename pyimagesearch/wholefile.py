"""Files that are written whole or not at all."""

import os
import secrets
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write a file that readers see either whole or not at all.

    Where `path` is a link, the file it leads to is replaced, and the link stays.

    Raises:
        OSError: if it cannot be written; a file already there is unchanged.
    """
    # The bytes go to a file beside `path`, which takes its name only when they are all
    # on the disk: neither a crash nor a full disk leaves half a file.
    path = Path(os.path.realpath(path))
    new = temporary(path)
    try:
        with open(new, "xb") as file:  # x: it is nobody's file and no link
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        rename(new, path)
    finally:
        new.unlink(missing_ok=True)


def temporary(path: Path) -> Path:
    """Return a name beside `path` that no other file has.

    `tempfile` would do, but its files are their owner's only.
    """
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")


def rename(source: Path, target: Path) -> None:
    """Give a file another name in its folder, in one step that outlasts a power cut.

    Raises:
        OSError: if that fails; both files are unchanged.
    """
    os.replace(source, target)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
