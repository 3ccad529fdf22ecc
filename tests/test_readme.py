"""The README's tables against the histories that they come from."""

import pickle
import re

import pytest
from conftest import ROOT

from pyimagesearch.gap import split_gap, standard_errors

README = (ROOT / "README.md").read_text(encoding="utf-8")


def record(name):
    # Not the one of the tree, which the tutorial's own command writes over.
    return pickle.loads((ROOT / ".github" / f"{name}.pickle").read_bytes())


def rows_of(header):
    """The rows of the README's table with this header, as lists of cells."""
    after = README.split(f"| {' | '.join(header)} |\n", 1)[1]
    lines = after.split("\n\n", 1)[0].splitlines()[1:]
    return [line.strip("| ").split(" | ") for line in lines]


def number(cell):
    return pytest.approx(float(cell.strip("*")), abs=5.1e-5)


@pytest.mark.parametrize("name, count", [("training", 5), ("hold-out", 2)])
def test_the_tables_of_the_gap_are_those_of_the_histories(name, count):
    history = record(name)
    parts, errors = split_gap(history), standard_errors(history)
    gap = sum(parts.values())
    names = [name.replace("_", " ") for name in parts]
    *rows, mean = rows_of(["epoch", "gap", *names])
    assert len(rows) == count
    for epoch, total, *cells in rows:
        at = int(epoch) - 1
        assert gap[at] == number(total)
        for part, cell in zip(parts, cells, strict=True):
            value, error = cell.split(" ± ")
            assert parts[part][at] == number(value)
            assert errors[part][at] == number(error)
    means = [values.mean() for values in (gap, *parts.values())]
    assert mean[0] == "mean of 25" and means == list(map(number, mean[1:]))


def test_the_table_beside_the_tutorial_is_that_of_the_record():
    history = record("training")
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    rows = rows_of(["epoch", *names])
    assert len(rows) == 5
    for epoch, *cells in rows:
        for name, cell in zip(names, cells, strict=True):
            assert history[name][int(epoch) - 1] == number(cell.split(" / ")[1])


def test_what_the_readme_names_is_there():
    paths = re.findall(r"\]\((?!http)(.*?)\)", README)
    paths += re.findall(r"`((?:\w+/|\.github/)?[\w-]+\.(?:py|pickle))`", README)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists() or path == "my.pickle", path
