"""The README's numbers against the histories that they come from."""

import pickle
import re

import numpy as np
import pytest
from conftest import ROOT

from pyimagesearch.lossgap import split_gap, standard_errors

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = " ".join(README.split())


def record(name):
    # Not the one of the tree, which the tutorial's own command writes over.
    return pickle.loads((ROOT / ".github" / f"{name}.pickle").read_bytes())


TRAINING, HOLD_OUT = record("training"), record("hold-out")
ALL_IMAGES = record("all-images")


def rows_of(*header):
    """The rows of the README's table with this header, as lists of cells."""
    after = README.split(f"| {' | '.join(header)} |\n", 1)[1]
    lines = after.split("\n\n", 1)[0].splitlines()[1:]
    return [line.strip("| ").split(" | ") for line in lines]


def number(text):
    """What is equal to a number in the text, as far as its digits go."""
    text = text.strip("*")
    digits = len(text.partition(".")[2])
    return pytest.approx(float(text), abs=0.51 * 10**-digits)


def numbers(start, end):
    """All numbers in the README between two texts."""
    (between,) = re.findall(f"{re.escape(start)}(.*?){re.escape(end)}", TEXT)
    return [number(text) for text in re.findall(r"-?\d+\.\d+", between)]


@pytest.mark.parametrize(
    "history, images", [(TRAINING, 60_000), (HOLD_OUT, 50_000)], ids=["all", "held out"]
)
def test_the_tables_of_the_gap_are_those_of_the_histories(history, images):
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
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    rows = rows_of("epoch", *names)
    assert len(rows) == 3
    for epoch, *cells in rows:
        for name, cell in zip(names, cells, strict=True):
            assert TRAINING[name][int(epoch) - 1] == number(cell.split(" / ")[1])


def test_what_is_said_of_the_first_epoch_is_so():
    parts, errors = split_gap(TRAINING), standard_errors(TRAINING)
    gap = sum(parts.values())
    lower = [epoch for epoch, size in enumerate(gap, 1) if size > 0]
    assert lower == [*range(1, 11), 12] and "epochs 1 to 10 and, hardly, in 12" in TEXT
    names = ["regularization", "timing", "batch_normalization", "memorization_and_data"]
    first = [gap[0], *(parts[name][0] for name in names)]
    assert first == numbers("In epoch 1 the gap of", "and data.")
    first = [gap[0], parts["timing"][0], errors["timing"][0]]
    assert first == numbers("The gap of epoch 1 is", "of it.")
    accuracy = split_gap(TRAINING, "accuracy")
    first = [-sum(accuracy.values())[0], -accuracy["timing"][0]]
    first.append(-accuracy["regularization"][0])
    assert first == numbers("In epoch 1 it is", "60,000 images |")[:3]


def test_what_is_said_of_the_shift_is_so():
    loss, timing = np.array(ALL_IMAGES["loss"]), split_gap(ALL_IMAGES)["timing"]
    half = (loss[:-1] - loss[1:]) / 2
    expected = numbers("that half is", "at most")
    assert [*half[:7], *timing[:7]] == expected[:-1]
    assert max(standard_errors(ALL_IMAGES)["timing"]) == expected[-1]
    late = []
    for history in (TRAINING, HOLD_OUT):
        errors = standard_errors(history)["timing"][13:]
        late += [split_gap(history)["timing"][13:].mean()]
        late += [np.sqrt(np.sum(errors**2)) / len(errors)]
    assert late == numbers("Later it is small:", "the means of epochs 14 to 25")


def test_what_is_said_of_the_other_parts_is_so():
    sizes = np.concatenate(
        [split_gap(x)["regularization"] for x in (TRAINING, HOLD_OUT)]
    )
    errors = [max(standard_errors(x)["regularization"]) for x in (TRAINING, HOLD_OUT)]
    expected = [min(sizes), max(sizes), max(errors)]
    assert expected == numbers("In each epoch it adds", "at most")
    parts, errors = split_gap(HOLD_OUT), standard_errors(HOLD_OUT)
    first_and_last = [
        abs(x["memorization"][epoch]) for epoch in (0, -1) for x in (parts, errors)
    ]
    assert first_and_last == numbers("makes the training loss lower:", "From epoch 13")
    sizes = np.abs(list(parts.values()))
    assert (sizes.argmax(axis=0)[12:] == list(parts).index("memorization")).all()
    assert np.argmin(HOLD_OUT["val_loss"]) == 23 - 1 and "is lowest in epoch 23" in TEXT
    data = parts["data"]
    assert [-data.mean()] == numbers("slightly harder, if anything:", "on average")
    chance = np.abs(data) <= 2 * errors["data"]
    assert chance.sum() == 21 and "in 21 of 25 epochs within two errors" in TEXT


def test_what_the_readme_names_is_there():
    paths = re.findall(r"\]\((?!http|#)(.*?)\)", README)
    paths += re.findall(r"`((?:\w+/|\.github/)?[\w-]+\.(?:py|pickle))`", README)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists() or path == "my.pickle", path


def test_it_is_short_and_no_line_of_text_is_long():
    lines = README.splitlines()
    assert len(lines) <= 165
    text = [x for x in lines if not x.startswith(("|", "![", "[Py"))]
    assert max(map(len, text)) <= 125
