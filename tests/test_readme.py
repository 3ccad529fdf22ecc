"""The README against the three records: each of its numbers is in a claim here."""

import pickle
import re

import numpy as np
from conftest import ROOT

from pyimagesearch.lossgap import in_words, split_gap, standard_errors

README = (ROOT / "README.md").read_text(encoding="utf-8")


def record(name):
    # Not the one of the tree, which the tutorial's own command writes over.
    return pickle.loads((ROOT / ".github" / f"{name}.pickle").read_bytes())


def row_of_epoch(epoch, *tutorial):
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    ours = [f"{TRAINING[name][epoch - 1]:.4f}" for name in names]
    return f"| {epoch} | {' | '.join(map(' / '.join, zip(tutorial, ours)))} |"


def row_of_gap(history, label, metric="loss", epoch=0):
    parts, errors = split_gap(history, metric), standard_errors(history, metric)
    cells = [f"{x[epoch]:.4f} ± {errors[name][epoch]:.4f}" for name, x in parts.items()]
    if "memorization_and_data" in parts:
        cells[-1] = f"both: {cells[-1]} |"
    gap = sum(parts.values())[epoch]
    return f"| {label} | **{gap:.4f}** | {' | '.join(cells)} |"


TRAINING, HOLD_OUT, ALL_IMAGES = map(record, ["training", "hold-out", "all-images"])
FIRST_EPOCH = in_words(TRAINING).partition("\nIn epoch")[0]
VERDICT = in_words(TRAINING).partition("Measured alike")[2]
WORDS = f"```text\n{FIRST_EPOCH}\n...\nMeasured alike{VERDICT}\n```"

PARTS, ERRORS = split_gap(TRAINING), standard_errors(TRAINING)
GAP, ACCURACY = sum(PARTS.values()), split_gap(TRAINING, "accuracy")
TIMING, ERROR = PARTS["timing"][0], ERRORS["timing"][0]
HALF = (TRAINING["loss"][0] - TRAINING["loss"][1]) / 2
ADDED = [*PARTS["regularization"], *split_gap(HOLD_OUT)["regularization"]]
KNOWN, DATA = map(split_gap(HOLD_OUT).get, ["memorization", "data"])
KNOWN_ERROR, DATA_ERROR = map(standard_errors(HOLD_OUT).get, ["memorization", "data"])
BY_CHANCE = np.sum(np.abs(DATA) <= 2 * DATA_ERROR)
OF_ALL = split_gap(ALL_IMAGES)
WITHIN = [np.abs(PARTS[x][:8] - OF_ALL[x]) <= 2 * ERRORS[x][:8] for x in OF_ALL]
LAST_RATE = 0.01 / (1 + 0.01 / 25 * 46_874)
CLAIMS = [
    row_of_epoch(1, "0.5433", "0.8181", "0.3281", "0.8815"),
    row_of_epoch(5, "0.2534", "0.9086", "0.2245", "0.9194"),
    row_of_epoch(25, "0.1734", "0.9372", "0.1871", "0.9312"),
    row_of_gap(TRAINING, "60,000: loss, epoch 1"),
    row_of_gap(TRAINING, "loss, epoch 25", epoch=24),
    row_of_gap(TRAINING, "accuracy, epoch 1", "accuracy"),
    row_of_gap(HOLD_OUT, "50,000: loss, epoch 1"),
    row_of_gap(HOLD_OUT, "loss, epoch 25", epoch=24),
    f"timing**: {TIMING:.4f} ± {ERROR:.4f} of the gap of {GAP[0]:.4f} in epoch 1.",
    f"the lower one in {np.sum(GAP > 0)} of 25.",
    f"that half is {HALF:.3f}, and timing is {TIMING:.3f} ± {ERROR:.3f}.",
    f"it adds {min(ADDED):.2f} to {max(ADDED):.2f} to the training loss.",
    f"lower, by {-KNOWN[24]:.3f} ± {KNOWN_ERROR[24]:.3f} in epoch 25.",
    f"by {-DATA.mean():.3f} on average, and within two errors of zero in {BY_CHANCE} of 25",
    f"Of the sample's {np.size(WITHIN)} parts {np.sum(WITHIN)} are within two of their errors",
    f"In epoch 1 it is {-sum(ACCURACY.values())[0]:.4f} lower in training;",
    f"timing is {-ACCURACY['timing'][0]:.4f},",
    f"regularization {-ACCURACY['regularization'][0]:.4f}.",
    f"{LAST_RATE:.6f} at the last of 46,875",
]


def test_each_number_is_that_of_the_records_and_the_words_are_as_printed():
    assert WORDS in README
    text = " ".join(README.replace(WORDS, "").split())
    assert [claim for claim in CLAIMS if claim not in text] == []
    for claim in CLAIMS:
        text = text.replace(claim, "")
    assert re.findall(r"\d\.\d{3,}", text) == []  # each is in a claim


def test_what_is_said_of_the_records_without_a_number_is_so():
    for history in (TRAINING, HOLD_OUT):
        parts, errors = split_gap(history), standard_errors(history)
        timing, error = parts["timing"][0], errors["timing"][0]
        half = (history["loss"][0] - history["loss"][1]) / 2
        assert timing > sum(parts.values())[0] / 2  # At first it is timing
        assert timing - half > 3 * error  # at first not far enough
        assert np.all(parts["regularization"] > 3 * errors["regularization"])  # stays
    assert -KNOWN[24] > 3 * KNOWN_ERROR[24]  # gets to know its training images
    assert np.argmin(HOLD_OUT["val_loss"]) == 23 - 1  # It alone is not overfitting
    assert np.all(DATA < 2 * DATA_ERROR)  # Nothing says that ... easier
    assert ALL_IMAGES["loss"] == TRAINING["loss"][:8]  # the same training
    assert ALL_IMAGES["measured_share"] == [1.0] * 8
    for history in (HOLD_OUT, ALL_IMAGES):  # today's command writes all of the others'
        assert set(TRAINING) <= set(history)


def test_what_the_readme_names_is_there():
    paths = re.findall(r"\]\((?!http|#)(.*?)\)", README)
    paths += re.findall(r"`((?:[\w.]+/)*[\w-]+\.(?:py|pickle))`", README)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists() or path == "my.pickle", path


def test_it_is_short_and_no_line_of_text_is_long():
    lines = README.splitlines()
    assert len(lines) <= 165
    text = [x for x in lines if not x.startswith(("|", "![", "[Py"))]
    assert max(map(len, text)) <= 125
