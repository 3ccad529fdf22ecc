"""The gap between the two losses, split into its reasons: as numbers and in words.

A history is what `model.fit` returns, or its `.history`: a dict with a list of numbers
for each loss, one number an epoch, measured by the callback `LossGap`.
"""

from itertools import pairwise

import numpy as np

# What each part of the gap is, above zero and below. The last is the sum of the two
# before it, where no data were held out.
ABOVE = {
    "timing": "earlier in the epoch, when it was measured, the training loss was higher",
    "augmentation_and_weights": "what is done to the data for `fit` makes the loss higher",
    "regularization": "what is on in training mode, such as dropout, makes it higher",
    "batch_normalization": "each batch's own statistics do worse than moving averages",
    "memorization": "the held-out data are easier, or prepared differently",
    "data": "the validation data are easier, or copies, or prepared differently",
    "memorization_and_data": "the validation data are easier, copies, or prepared "
    "differently",
}
BELOW = {
    "timing": "earlier in the epoch, when it was measured, the training loss was lower",
    "augmentation_and_weights": "what is done to the data for `fit` makes the loss lower",
    "regularization": "what is on in training mode, such as dropout, makes it lower",
    "batch_normalization": "moving averages do worse than each batch's own statistics",
    "memorization": "the network knows its training data",
    "data": "the validation data are harder, or prepared differently",
    "memorization_and_data": "the network knows its training data, or the validation "
    "data are harder, or prepared differently (data held out would tell)",
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
    columns = {name: history[name] for name in ("loss", "val_loss")}
    columns.update(gap=sum(parts.values()), **parts)
    values = np.column_stack(list(columns.values()))
    headings = [HEADINGS.get(name, ("", name)) for name in columns]
    rows = [*zip(["", "epoch"], zip(*headings)), *enumerate(values, start=1)]
    rows.append(("mean", values.mean(axis=0)))
    last = [error[-1] for error in errors.values()]
    if not np.isnan(last).all():
        rows.append(("+-", ["", "", "", *last]))

    def text(cell):
        return cell if isinstance(cell, str) else f"{cell:.4f}"

    return "\n".join(
        f"{epoch:>5}" + "".join(f" {text(cell):>8}" for cell in cells)
        for epoch, cells in rows
    )


def in_words(history) -> str:
    """What the parts say of the first and the last epoch, and what may be wrong."""
    parts, errors = split_gap(history), standard_errors(history)
    losses = getattr(history, "history", history)
    gap = sum(parts.values())
    epochs = np.flatnonzero(np.isfinite(gap))
    if len(epochs) == 0:
        return "In no epoch are all losses finite numbers: the gap cannot be split."

    def at(epoch):
        return {
            name: (part[epoch], errors[name][epoch]) for name, part in parts.items()
        }

    first, last = epochs[[0, -1]]
    doubtful = timing_is_doubtful(losses["loss"], parts["timing"], errors["timing"])
    lines = [
        f"In epoch {epoch + 1} {explained(at(epoch), doubtful)}"
        for epoch in sorted({first, last})
    ]
    signed = epochs[shows(gap[epochs])]
    changes = signed[:-1][np.diff(np.sign(gap[signed])) != 0] + 1
    if len(changes):
        lines.append(
            f"The gap changes its sign after epoch {', '.join(map(str, changes))}."
        )
    if len(epochs) < len(gap):
        lines.append("Epochs in which a loss is no finite number are left out.")
    if doubtful:
        lines.append(DOUBT)
    lagging, error = at(last).get("batch_normalization", (0, 0))
    too_high = lagging < -abs(losses["val_loss"][last]) / 10
    if too_high and not may_be_chance(lagging, error):
        lines.append(LAGGING)
    return "\n".join(lines)


def timing_is_doubtful(loss, timing, error):
    """Whether timing is more than the time of measurement can make it.

    An average over an epoch is half an epoch old: timing is about half of what the loss
    falls by. Plain trainings had up to five times that, as a network also learns its
    examples within an epoch, and 6 % of the loss. So this asks for more than four times
    (twice the fall) or a wrong sign, and 10 %, over the second half of six epochs or
    more, beyond chance; errors of the same examples do not average out over epochs.
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
    side = 0 if gap > 0 else 1
    chance = {name for name, part in parts.items() if may_be_chance(*part)}
    words = {
        name: f"{name.replace('_', ' ')} ({part:+.4f}"
        + (")" if np.isnan(error) else f" +- {error:.4f})")
        for name, (part, error) in parts.items()
    }
    toward = sorted(parts, key=lambda name: parts[name][0], reverse=side == 0)
    toward = [name for name in toward if parts[name][0] * gap > 0]
    largest = toward[0]
    sure = [n for n in toward if n not in chance and not (doubtful and n == "timing")]
    reasons = {name: f"{words[name]}: {REASONS[name][side]}." for name in sure}

    text = f"the training loss is {abs(gap):.4f} {('above', 'below')[side]} the validation loss"
    if largest in reasons:
        text += f", most of all because of {reasons[largest]}"
    else:
        data = "memorization" in largest or largest == "data"
        more = (
            "validation or held-out data" if data else "of the training data measured"
        )
        chance_of = (
            f"chance: more {more} would tell" if largest in chance else "something else"
        )
        text += f". The largest part is {words[largest]}, but this may be {chance_of}."
        text += f" Beyond chance is {reasons[sure[0]]}" if sure else ""
    against = [
        words[name] + (", which may be chance" if name in chance else "")
        for name, (part, _) in parts.items()
        if part * gap < 0 and shows(part)
    ]
    return text + (f" Against it: {'; '.join(against)}." if against else "")


def shows(value):
    """Whether it is more than zero as it is printed, with four decimals."""
    return np.abs(value) >= 0.00005


def count_copies(x_train, x_val) -> int:
    """Count the validation data that are training data too, byte for byte.

    Args:
        x_train: training data, a NumPy array of the shape `(n, ...)`.
        x_val: validation data, a NumPy array of the same dtype, shape `(m, ...)`.

    Raises:
        ValueError: if dtypes or shapes differ, so that no bytes could be equal.
    """
    if (x_train.dtype, x_train.shape[1:]) != (x_val.dtype, x_val.shape[1:]):
        raise ValueError("copies cannot be counted: dtypes or shapes differ")
    known = {example.tobytes() for example in x_train}
    return sum(example.tobytes() in known for example in x_val)
