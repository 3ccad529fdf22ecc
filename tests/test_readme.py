"""The README's numbers against the histories that they come from."""

import re

import numpy as np
import pytest
from conftest import ROOT

from pyimagesearch.explanation import in_words
from pyimagesearch.history import load, split_gap

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def record():
    history = load(ROOT / "training.pickle")
    return history, split_gap(history)


@pytest.fixture(scope="module")
def held_out():
    history = load(ROOT / ".github" / "hold-out.pickle")
    return history, split_gap(history)


def table(header):
    """The rows of the README's table with this header."""
    after = README.split(f"| {header} |\n", 1)[1]
    lines = after.split("\n\n", 1)[0].splitlines()[1:]
    return [line.strip("| ").split(" | ") for line in lines]


def number(cell):
    return float(cell.strip("*").split(" ± ")[0].replace("−", "-"))


@pytest.mark.parametrize("name", ["record", "held_out"])
def test_the_tables_of_the_gap_are_those_of_the_histories(name, request):
    history, parts = request.getfixturevalue(name)
    gap = history["loss"] - history["val_loss"]
    columns = [history["loss"], history["val_loss"], gap, *parts.values()]
    header = ["epoch", "loss", "val_loss", "gap", *parts]
    rows = table(" | ".join(header))
    assert [row[0] for row in rows] == ["1", "2", "5", "13", "25", "mean of 25"]
    for epoch, *cells in rows:
        expected = [
            column.mean() if epoch.startswith("mean") else column[int(epoch) - 1]
            for column in columns
        ]
        assert [number(cell) for cell in cells] == [
            pytest.approx(value, abs=5.1e-5) for value in expected
        ]


def test_the_table_beside_the_tutorial_is_that_of_the_record(record):
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    rows = table("epoch | " + " | ".join(names))
    assert len(rows) == 10
    differences = {name: [] for name in names}
    for epoch, *cells in rows:
        for name, cell in zip(names, cells):
            tutorial, ours = map(float, cell.split(" / "))
            assert ours == pytest.approx(record[0][name][int(epoch) - 1], abs=5.1e-5)
            differences[name].append(abs(tutorial - ours))
    largest = [round(max(differences[name]), 3) for name in names]
    loss, _, val_loss, val_accuracy = largest
    assert f"{loss} in `loss` (epoch 1)" in README
    assert f"{val_loss}\nin `val_loss`, {val_accuracy} in `val_accuracy`" in README
    assert f"The final accuracy is {record[0]['val_accuracy'][-1]:.4f}" in README


def prose(text):
    """Assert that the README says this, wherever its lines break."""
    assert text in re.sub(r"\s+", " ", README), text


def ends(values):
    return values.min(), values.max()


def test_what_is_said_of_timing_and_regularization(record, held_out):
    timing, regularization = record[1]["timing"], record[1]["regularization"]
    prose("is 0.15 above the loss at its end (second run: 0.19): three quarters")
    assert round(timing[0], 2) == 0.15 and round(held_out[1]["timing"][0], 2) == 0.19
    for history, parts in (record, held_out):
        gap = history["loss"][0] - history["val_loss"][0]
        assert 0.75 < parts["timing"][0] / gap < 0.85
    prose("From epoch 3 on this part is within 0.01 of zero in the record")
    assert np.abs(timing[2:]).max() < 0.01
    prose("training mode costs 0.045 to 0.063 in every epoch, in the second run 0.048")
    assert np.round(ends(regularization[2:]), 3).tolist() == [0.045, 0.063]
    second = held_out[1]["regularization"][2:]
    assert np.round(ends(second), 3).tolist() == [0.048, 0.061]


def test_what_is_said_of_memorization_and_data(record, held_out):
    memorization, data = held_out[1]["memorization"], held_out[1]["data"]
    prose("grows from −0.019,")
    prose("over −0.047 in epoch 13 to −0.067 in epoch 25")
    assert np.round(memorization[[0, 12, 24]], 3).tolist() == [-0.019, -0.047, -0.067]
    prose("negative in every epoch, −0.012 to −0.022, and −0.016 in the mean")
    assert np.round(ends(data), 3).tolist() == [-0.022, -0.012]
    assert round(data.mean(), 3) == -0.016
    prose("From epoch 1 to 25 it changes by 0.003")
    assert round(data[24] - data[0], 3) == 0.003
    prose("third part of the record grow, from −0.029 to −0.071")
    assert np.round(record[1]["data"][[0, 24]], 3).tolist() == [-0.029, -0.071]


def test_what_is_said_of_standard_errors():
    rows = table(
        "epoch | loss | val_loss | gap | timing | regularization | memorization | data"
    )
    errors = {
        row[0]: [tuple(map(number, cell.split(" ± "))) for cell in row[4:]]
        for row in rows
    }

    def ratio(epoch, part):
        value, error = errors[epoch][part]
        return round(abs(value) / error, 1)

    prose("cannot be told from zero (1.9 standard errors)")
    assert ratio("1", 2) == 1.9
    prose("−0.067 in epoch 25 (8.8 standard errors)")
    assert ratio("25", 2) == 8.8
    prose("in the mean: 1.8 standard errors from zero")
    assert ratio("mean of 25", 3) == 1.8


def test_what_is_said_of_the_sign(record, held_out):
    prose(
        "between epochs 13 and 14 in the record; in the second run between 8 and 9, "
        "and after a step back for good between 10 and 11"
    )
    assert "sign between epochs 13 and 14" in in_words(record[1])
    assert "3 times, the last time between epochs 10 and 11" in in_words(held_out[1])
    gap = sum(held_out[1].values())
    assert gap[7] > 0 > gap[8] and gap[9] > 0 > gap[10]


def test_what_is_said_of_the_shift(record):
    history, parts = record
    taken = (history["loss"][:-1] - history["loss"][1:]) / 2
    timing = parts["timing"]
    prose(
        "takes off 0.097 of the 0.152 measured, in epoch 2 0.022 of 0.026, and in "
        "epochs 3 to 24 on average 0.003 of 0.004"
    )
    assert np.round([taken[0], timing[0]], 3).tolist() == [0.097, 0.152]
    assert np.round([taken[1], timing[1]], 3).tolist() == [0.022, 0.026]
    means = [taken[2:24].mean(), timing[2:24].mean()]
    assert np.round(means, 3).tolist() == [0.003, 0.004]


def test_the_commands_name_what_is_there():
    for name in re.findall(r"^\| `(\S+\.py)`", README, re.MULTILINE):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\((\.github/.*?)\)", README):
        assert (ROOT / name).exists(), name
