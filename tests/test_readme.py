"""The README's tables against the histories that they come from."""

import pickle
import re

import numpy as np
import pytest
from conftest import ROOT

from pyimagesearch.gap import split_gap

README = (ROOT / "README.md").read_text(encoding="utf-8")
REPORTED = ["loss", "accuracy", "val_loss", "val_accuracy"]


def record(name):
    # Not the one of the tree, which the tutorial's own command writes over.
    return pickle.loads((ROOT / ".github" / f"{name}.pickle").read_bytes())


def rows_of(header):
    """The rows of the README's table with this header."""
    after = README.split(f"| {' | '.join(header)} |\n", 1)[1]
    lines = after.split("\n\n", 1)[0].splitlines()[1:]
    return [line.strip("| ").split(" | ") for line in lines]


def number(cell):
    return pytest.approx(float(cell.strip("*")), abs=5.1e-5)


@pytest.mark.parametrize("name", ["training", "hold-out"])
def test_the_tables_of_the_gap_are_those_of_the_histories(name):
    history = record(name)
    parts = split_gap(history)
    gap = sum(parts.values())
    columns = np.column_stack(
        [history["loss"], history["val_loss"], gap, *parts.values()]
    )
    names = [name.replace("_", " ") for name in parts]
    rows = rows_of(["epoch", "loss", "val_loss", "gap", *names])
    assert [row[0] for row in rows] == ["1", "2", "5", "13", "25", "mean of 25"]
    for epoch, *cells in rows:
        mean = epoch.startswith("mean")
        values = columns.mean(axis=0) if mean else columns[int(epoch) - 1]
        assert [*values] == [number(cell) for cell in cells]


def test_the_table_beside_the_tutorial_is_that_of_the_record():
    history = record("training")
    rows = rows_of(["epoch", *REPORTED])
    assert len(rows) == 10
    for epoch, *cells in rows:
        for name, cell in zip(REPORTED, cells, strict=True):
            assert history[name][int(epoch) - 1] == number(cell.split(" / ")[1])


def test_what_the_readme_names_is_there():
    paths = re.findall(r"\]\((?!http)(.*?)\)", README)
    paths += re.findall(r"`((?:\w+/|\.github/)?[\w-]+\.(?:py|pickle))`", README)
    assert len(paths) > 10
    for path in {*paths} - {"my.pickle", "tiny.pickle", "hold-out.pickle"}:
        assert (ROOT / path).exists() or (ROOT / "pyimagesearch" / path).exists(), path
