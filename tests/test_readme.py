"""The README's tables against the histories that they come from."""

import pickle
import re

import pytest
from conftest import ROOT

from pyimagesearch.lossgap import split_gap, standard_errors

README = (ROOT / "README.md").read_text(encoding="utf-8")


def record(name):
    # Not the one of the tree, which the tutorial's own command writes over.
    return pickle.loads((ROOT / ".github" / f"{name}.pickle").read_bytes())


def rows_of(*header):
    """The rows of the README's table with this header, as lists of cells."""
    after = README.split(f"| {' | '.join(header)} |\n", 1)[1]
    lines = after.split("\n\n", 1)[0].splitlines()[1:]
    return [line.strip("| ").split(" | ") for line in lines]


def number(text):
    return pytest.approx(float(text.strip("*")), abs=5.1e-5)


@pytest.mark.parametrize("name, images", [("training", 60_000), ("hold-out", 50_000)])
def test_the_tables_of_the_gap_are_those_of_the_histories(name, images):
    history = record(name)
    names = [name.replace("_", " ") for name in split_gap(history)]
    rows = rows_of(f"{images:,} images", "gap", *names)
    assert [row[0] for row in rows[:2]] == ["loss, epoch 1", "loss, epoch 25"]
    for label, gap, *cells in rows:
        metric, at = label.split(", ")
        parts, errors = split_gap(history, metric), standard_errors(history, metric)
        if at == "mean of 25":
            values = [part.mean() for part in parts.values()]
        else:
            epoch = int(at.removeprefix("epoch ")) - 1
            values = [part[epoch] for part in parts.values()]
            cells, known = zip(*(cell.split(" ± ") for cell in cells))
            assert [errors[x][epoch] for x in parts] == list(map(number, known))
        assert values == list(map(number, cells)) and sum(values) == number(gap)


def test_the_table_beside_the_tutorial_is_that_of_the_record():
    history, names = (
        record("training"),
        ["loss", "accuracy", "val_loss", "val_accuracy"],
    )
    rows = rows_of("epoch", *names)
    assert len(rows) == 3
    for epoch, *cells in rows:
        for name, cell in zip(names, cells, strict=True):
            assert history[name][int(epoch) - 1] == number(cell.split(" / ")[1])


def test_what_the_readme_names_is_there():
    paths = re.findall(r"\]\((?!http|#)(.*?)\)", README)
    paths += re.findall(r"`((?:\w+/|\.github/)?[\w-]+\.(?:py|pickle))`", README)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists() or path in ("my.pickle", "own.pickle"), path
