"""The gap between the two losses, split into its reasons: as numbers and in words.

A history is what `model.fit` returns, or its `.history`: a dict with a list of numbers
for each loss, one number an epoch, measured by the callback `LossGap`.
"""

from itertools import pairwise

import numpy as np

# What each part of the gap is, above zero and below. The last is the sum of the two
# before it, where no data were held out.
ABOVE = {
    "timing": "the training loss was higher earlier in the epoch, when it was measured",
    "augmentation_and_weights": "what is done to the data for `fit` raises the loss",
    "regularization": "what is on in training mode, such as dropout, raises the loss",
    "batch_normalization": "each batch's own statistics do worse than moving averages",
    "memorization": "the held-out data are easier, or prepared differently",
    "data": "the validation data are easier, or copies, or prepared differently",
    "memorization_and_data": "the validation data are easier, or copies, or prepared "
    "differently",
}
BELOW = {
    "timing": "the training loss was lower earlier in the epoch, when it was measured",
    "augmentation_and_weights": "what is done to the data for `fit` lowers the loss",
    "regularization": "what is on in training mode, such as dropout, lowers the loss",
    "batch_normalization": "moving averages do worse than each batch's own statistics",
    "memorization": "the network knows its training data",
    "data": "the validation data are harder, or prepared differently",
    "memorization_and_data": "the network knows its training data, or the validation "
    "data are harder, or prepared differently (held-out data tell these apart)",
}
REASONS = {name: (ABOVE[name], BELOW[name]) for name in ABOVE}

# A part is what one of these losses is above the next one that was measured.
LOSSES = ["loss", "fit_data_loss", "training_mode_loss", "batch_statistics_loss"]
LOSSES += ["inference_mode_loss", "held_out_loss", "val_loss"]

# In two lines, so that a table fits into 80 columns, or 86 with augmentation.
HEADINGS = {
    "augmentation_and_weights": ("augment.", "weights"),
    "regularization": ("regular-", "ization"),
    "batch_normalization": ("batch", "norm."),
    "memorization": ("memori-", "zation"),
    "memorization_and_data": ("memoriz.", "and data"),
}

DOUBT = (
    "Timing is more than the time of measurement can make it. Perhaps `fit` trains on "
    "other data than LossGap was given: augmented, weighted, in batches of another size, "
    "or not the rows that validation_split leaves (see fit_data in help(LossGap)). Or "
    "the network learns its examples and forgets them again within an epoch."
)
# Most often, since small batches and batches that are not mixed do the same.
LAGGING = (
    "Batch normalization makes losses in inference mode, such as the validation loss, "
    "much higher. Most often its moving averages have not caught up with the network, "
    "which is then better than its validation loss says: more updates help, a smaller "
    "momentum of BatchNormalization, or computing the statistics anew."
)


def split_gap(history) -> dict[str, np.ndarray]:
    """Split the gap `loss - val_loss` of each epoch into its reasons.

    Returns:
        By name, those parts of `REASONS` that were measured: arrays of the shape
        `(epochs,)` in the unit of the loss, whose sum is the gap. They are `nan` where
        a loss is not finite.

    Raises:
        ValueError: if the gap was not measured, or not in every epoch.

    Source: timing, regularization and data are the three reasons of
    https://pyimagesearch.com/2019/10/14/why-is-my-validation-loss-lower-than-my-training-loss/
    """
    history = getattr(history, "history", history)
    for name in ("loss", "val_loss", "training_mode_loss", "inference_mode_loss"):
        if name not in history:
            raise ValueError(
                f"the gap was not measured, there is no {name}: give `fit` validation "
                "data and the callback LossGap"
            )
    losses = {
        name: np.array(history[name], float) for name in LOSSES if name in history
    }
    if len(set(map(len, losses.values()))) > 1:
        raise ValueError(
            "the gap was not measured in every epoch: use validation_freq=1, and "
            "LossGap from the first epoch on"
        )
    for values in losses.values():
        values[~np.isfinite(values)] = np.nan
    names = dict(zip(LOSSES, REASONS))
    parts = {names[a]: losses[a] - losses[b] for a, b in pairwise(losses)}
    if "held_out_loss" not in losses:
        parts["memorization_and_data"] = parts.pop("memorization")
    return parts


def standard_errors(history) -> dict[str, np.ndarray]:
    """The standard errors of the parts, of the same shape; `nan` where unknown."""
    parts = split_gap(history)
    history = getattr(history, "history", history)
    errors = {name: np.array(history.get(f"{name}_error", []), float) for name in parts}
    unknown = np.full(len(history["loss"]), np.nan)
    return {n: e if len(e) == len(unknown) else unknown for n, e in errors.items()}


def may_be_chance(part, error):
    """Whether a part is within two standard errors of zero; not where this is unknown."""
    return np.abs(part) <= 2 * error


def table(history) -> str:
    """The losses and the parts of the gap, in four decimals; epochs count from 1.

    The last line has the standard errors of the last epoch, if they are known.
    """
    parts, errors = split_gap(history), standard_errors(history)
    history = getattr(history, "history", history)
    columns = {"loss": history["loss"], "val_loss": history["val_loss"]}
    columns.update(gap=sum(parts.values()), **parts)
    values = np.column_stack(list(columns.values()))
    last = [error[-1] for error in errors.values()]

    def line(epoch, cells):
        return f"{epoch:>5}" + "".join(f" {cell:>8}" for cell in cells)

    headings = zip(*[HEADINGS.get(name, ("", name)) for name in columns])
    lines = [line(epoch, cells) for epoch, cells in zip(["", "epoch"], headings)]
    for epoch, row in [*enumerate(values, start=1), ("mean", values.mean(axis=0))]:
        lines.append(line(epoch, [f"{value:.4f}" for value in row]))
    if not np.isnan(last).all():
        lines.append(line("+-", ["", "", "", *(f"{error:.4f}" for error in last)]))
    return "\n".join(lines)


def in_words(history) -> str:
    """What the parts say of the first and the last epoch, and what may be wrong."""
    parts, errors = split_gap(history), standard_errors(history)
    losses = getattr(history, "history", history)
    gap = sum(parts.values())
    epochs = np.flatnonzero(np.isfinite(gap))
    if len(epochs) == 0:
        return "In no epoch are all losses finite numbers: the gap cannot be split."

    def at(epoch):
        return {name: (parts[name][epoch], errors[name][epoch]) for name in parts}

    doubtful = timing_is_doubtful(losses["loss"], parts["timing"], errors["timing"])
    first, last = epochs[[0, -1]]
    lines = [
        f"In epoch {epoch + 1} {explained(at(epoch), doubtful)}"
        for epoch in sorted({first, last})
    ]
    signed = epochs[shows(gap[epochs])]
    changes = signed[1:][np.diff(np.sign(gap[signed])) != 0] + 1
    if len(changes):
        in_epochs = ", ".join(map(str, changes))
        lines.append(f"The gap changes its sign in epoch {in_epochs}.")
    if len(epochs) < len(gap):
        lines.append("Epochs in which a loss is no finite number are left out.")
    if doubtful:
        lines.append(DOUBT)
    lag, error = at(last).get("batch_normalization", (0, 0))
    if lag < -abs(losses["val_loss"][last]) / 10 and not may_be_chance(lag, error):
        lines.append(LAGGING)
    return "\n".join(lines)


def timing_is_doubtful(loss, timing, error):
    """Whether timing is more than the time of measurement can make it.

    An average over an epoch is half an epoch old, so timing is about half of what the
    loss falls by. Plain trainings had up to five times that, as a network also learns
    its examples within an epoch, but then no more than 6 % of the loss. This takes more
    than four times that, or a wrong sign, and 10 %, in the second half of six epochs or
    more. Errors are of the same examples each time, and do not average out.
    """
    loss, timing, error = np.array([loss, timing, error])[:, np.isfinite(timing)]
    half = len(loss) // 2
    late = timing[half:]
    return (
        half >= 3
        and not 0 <= late.sum() <= 2 * (loss[half - 1] - loss[-1])
        and np.abs(late).mean() > np.abs(loss[half:].mean()) / 10
        and not may_be_chance(late.mean(), error[half:].mean())
    )


def explained(parts, doubtful):
    """Say which part has most of an epoch's gap, and which parts are against it."""
    gap = sum(part for part, _ in parts.values())
    if not shows(gap):
        return "the two losses are equal to four decimals."
    words = {}
    for name, (part, error) in parts.items():
        known = "" if np.isnan(error) else f" +- {error:.4f}"
        words[name] = f"{name.replace('_', ' ')} ({part:+.4f}{known})"
    chance = {name for name in parts if may_be_chance(*parts[name])}
    toward = [name for name in parts if parts[name][0] * gap > 0]
    toward.sort(key=lambda name: -abs(parts[name][0]))
    largest = toward[0]
    unsure = chance | ({"timing"} if doubtful else set())
    because = [
        f"{words[name]}: {REASONS[name][0 if gap > 0 else 1]}."
        for name in toward
        if name not in unsure
    ]
    side = "above" if gap > 0 else "below"
    text = f"the training loss is {abs(gap):.4f} {side} the validation loss"
    if largest not in unsure:
        text += f", most of all because of {because[0]}"
    else:
        more = "of the training data measured"
        if largest in ("memorization", "data", "memorization_and_data"):
            more = "validation or held-out data"
        text += f". The largest part is {words[largest]}, but this may be "
        other = "something else."
        text += f"chance: more {more} would tell." if largest in chance else other
        text += f" Beyond chance is {because[0]}" if because else ""
    against = [
        words[name]
        for name, (part, _) in parts.items()
        if part * gap < 0 and shows(part) and name not in chance
    ]
    return text + (f" Against it: {', '.join(against)}." if against else "")


def shows(value):
    """Whether it is more than zero as it is printed, with four decimals."""
    return np.abs(value) >= 0.00005


def count_copies(x_train, x_val) -> int:
    """Count the examples of `x_val` that are in `x_train`, too, byte for byte.

    Both are NumPy arrays of one dtype, shapes `(n, ...)` and `(m, ...)`; otherwise, as
    no bytes could be equal, it is a `ValueError`.
    """
    if (x_train.dtype, x_train.shape[1:]) != (x_val.dtype, x_val.shape[1:]):
        raise ValueError("copies cannot be counted: dtypes or shapes differ")
    known = {example.tobytes() for example in x_train}
    return sum(example.tobytes() in known for example in x_val)
