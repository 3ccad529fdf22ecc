import os
import pickle
import stat

import pytest
from conftest import full_disk, link

from pyimagesearch import wholefile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pickle"


def test_it_leaves_nothing_but_the_file(path):
    wholefile.write(path, b"one")
    wholefile.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_no_reader_sees_half_a_file(path):
    if os.name == "nt":
        pytest.skip("Windows does not replace a file that somebody reads")
    wholefile.write(path, b"old")
    with open(path, "rb") as reader:
        wholefile.write(path, b"new" * 1000)
        assert reader.read() == b"old"  # the old file whole, under no name


def test_a_full_disk_leaves_the_earlier_file_whole(path):
    wholefile.write(path, b"old")
    with full_disk(room=10_000), pytest.raises(OSError):
        wholefile.write(path, bytes(100_000))
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_other_files_and_links_are_left_alone(path, monkeypatch):
    """Whatever stands where the new bytes would go: it is neither used nor followed."""
    precious = path.with_name("precious")
    precious.write_bytes(b"precious")
    taken = path.with_name("training.pickle.taken.tmp")
    monkeypatch.setattr(wholefile, "temporary", lambda path: taken)
    for kind in ("symlink_to", "hardlink_to"):
        link(taken, precious, kind)
        with pytest.raises(FileExistsError):
            wholefile.write(path, b"new")
        assert precious.read_bytes() == b"precious" and not path.exists()
        taken.unlink(missing_ok=True)


def test_temporary_names_are_never_the_same(path):
    assert len({wholefile.temporary(path) for _ in range(100)}) == 100


def test_of_a_link_the_file_is_replaced(path, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target = folder / "target"
    link(path, target)
    for content in (b"one", b"two"):
        wholefile.write(path, content)
        assert path.is_symlink() and target.read_bytes() == content
    assert list(folder.iterdir()) == [target]


def test_others_may_read_it_as_they_may_read_any_new_file(path):
    usual = path.with_name("usual")
    usual.write_bytes(b"")
    wholefile.write(path, pickle.dumps(1))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
