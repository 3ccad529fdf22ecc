"""The gap between the two losses, split into its reasons: as numbers and in words.

A history is what `model.fit` returns, or its `.history`: lists of numbers by name, one
number an epoch, with the losses that the callback `LossGap` measures.
"""

from itertools import pairwise

import numpy as np

# What each part of the gap is, above zero and below; the last if none are held out.
ABOVE = {
    "timing": "the training loss was higher earlier in the epoch, when it was measured",
    "augmentation_and_weights": "what is done to the data for `fit` raises the loss",
    "regularization": "what is on in training mode, such as dropout, raises the loss",
    "batch_normalization": "each batch's own statistics do worse than moving averages",
    "memorization": "the held-out data are easier, or prepared differently",
    "data": "the validation data are easier, or copies, or prepared differently",
}
BELOW = {
    "timing": "the training loss was lower earlier in the epoch, when it was measured",
    "augmentation_and_weights": "what is done to the data for `fit` lowers the loss",
    "regularization": "what is on in training mode, such as dropout, lowers the loss",
    "batch_normalization": "moving averages do worse than each batch's own statistics",
    "memorization": "the network knows its training data, or held-out data are harder",
    "data": "the validation data are harder, or prepared differently",
}
REASONS = {name: (ABOVE[name], BELOW[name]) for name in ABOVE}
BOTH = "the network knows its training data, or {} (held-out data tell these apart)"
REASONS["memorization_and_data"] = (ABOVE["data"], BOTH.format(BELOW["data"]))

# A part is what one of these losses is above the next one that was measured.
LOSSES = ["loss", "fit_data_loss", "training_mode_loss", "batch_statistics_loss"]
LOSSES += ["inference_mode_loss", "held_out_loss", "val_loss"]
OPTIONAL = ["fit_data_loss", "batch_statistics_loss", "held_out_loss"]

# In two lines, so that a table fits into 80 columns, or 86 with augmentation.
HEADINGS = ["timing", "augment./weights", "regular-/ization", "batch/norm."]
HEADINGS += ["memori-/zation", "data", "memoriz./and data"]
HEADINGS = dict(zip(REASONS, HEADINGS))

DOUBT = (
    "Timing is more than the time of measurement can make it. Perhaps `fit` trains on "
    "other data than LossGap was given (augmented, weighted, in other batches, or not "
    "the rows that validation_split leaves: see fit_data in help(LossGap)), or the "
    "network learns its examples and forgets them again within an epoch."
)
LAGGING = (
    "Batch normalization makes losses in inference mode, the validation loss too, much "
    "higher. Most often its moving averages lag, and the network is better than that: "
    "more updates help, a smaller momentum, or computing the statistics anew."
)


def split_gap(history) -> dict[str, np.ndarray]:
    """Split the gap `loss - val_loss` of each epoch into its reasons.

    Returns:
        By name, what was measured of `REASONS`: arrays of the shape `(epochs,)`, in the
        unit of the loss, whose sum is the gap; `nan` where a loss is not finite.

    Raises:
        ValueError: if the gap was not measured, or not in every epoch.

    Source: timing, regularization and data are the three reasons of
    https://pyimagesearch.com/2019/10/14/why-is-my-validation-loss-lower-than-my-training-loss/
    """
    history = getattr(history, "history", history)
    measured = [name for name in LOSSES if name in history or name not in OPTIONAL]
    losses = {name: np.array(history.get(name, []), float) for name in measured}
    epochs = max(map(len, losses.values()))
    missing = [name for name in losses if not len(losses[name]) == epochs > 0]
    if missing:
        raise ValueError(
            f"the gap was not measured in each epoch (missing: {', '.join(missing)}): "
            "give `fit` validation data, validation_freq=1 and, from the start, LossGap"
        )
    losses = {name: np.where(np.isfinite(x), x, np.nan) for name, x in losses.items()}
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
    """Whether a part is within two standard errors of zero; not where it has none."""
    return np.abs(part) <= 2 * error


def table(history) -> str:
    """The losses and the parts of the gap, their means, the last epoch's errors."""
    parts, errors = split_gap(history), standard_errors(history)
    history = getattr(history, "history", history)
    columns = {name: history[name] for name in ("loss", "val_loss")}
    columns |= {"gap": sum(parts.values()), **parts}
    values = np.column_stack(list(columns.values()))
    above, _, below = zip(*[HEADINGS.get(x, x).rpartition("/") for x in columns])
    lines = [("", *above), ("epoch", *below)]
    for epoch, row in [*enumerate(values, start=1), ("mean", values.mean(axis=0))]:
        lines.append((epoch, *(f"{value:.4f}" for value in row)))
    last = [error[-1] for error in errors.values()]
    if not np.isnan(last).all():
        lines.append(("+-", "", "", "", *(f"{error:.4f}" for error in last)))
    return "\n".join("".join(f"{cell:>9}" for cell in line)[4:] for line in lines)


def in_words(history) -> str:
    """What the parts say of the first and the last epoch, and what may be wrong."""
    parts, errors = split_gap(history), standard_errors(history)
    history = getattr(history, "history", history)
    epochs = np.flatnonzero(np.isfinite(sum(parts.values())))
    if len(epochs) == 0:
        return "In no epoch are all losses finite numbers: the gap cannot be split."
    doubtful = timing_is_doubtful(history["loss"], parts["timing"], errors["timing"])
    lines = []
    for epoch in sorted({epochs[0], epochs[-1]}):
        at = {name: (parts[name][epoch], errors[name][epoch]) for name in parts}
        lines.append(f"In epoch {epoch + 1} {explained(at, doubtful)}")
    if len(epochs) < len(history["loss"]):
        lines.append("Epochs in which a loss is no finite number are left out.")
    if doubtful:
        lines.append(DOUBT)
    lag, error = at.get("batch_normalization", (0, 0))  # in the last epoch
    if lag < -abs(history["val_loss"][epoch]) / 10 and not may_be_chance(lag, error):
        lines.append(LAGGING)
    return "\n".join(lines)


def timing_is_doubtful(loss, timing, error):
    """Whether timing is more than the time of measurement can make it.

    An average over an epoch is half an epoch old: timing is half of what the loss falls
    by. Plain trainings had up to five times that, as examples are also learnt within an
    epoch, but then at most 6 % of the loss. This is more than four times that, or a
    wrong sign, and 10 %, in the second half of six epochs or more.
    """
    loss, timing, error = np.array([loss, timing, error])[:, np.isfinite(timing)]
    half = len(loss) // 2
    late = timing[half:]
    return (
        half >= 3
        and not 0 <= late.sum() <= 2 * (loss[half - 1] - loss[-1])
        and np.abs(late).mean() > np.abs(loss[half:].mean()) / 10
        # Of the same examples each time, errors do not average out.
        and not may_be_chance(late.mean(), error[half:].mean())
    )


def explained(parts, doubtful):
    """Say which part has most of an epoch's gap, and which parts are against it."""
    gap = sum(part for part, _ in parts.values())
    if abs(gap) < 5e-5:
        return "the two losses are equal to four decimals."
    side, sign = ("above", 0) if gap > 0 else ("below", 1)
    share = {name: part / gap for name, (part, _) in parts.items()}
    words, doubts = {}, {"timing": "but this may be something else"} if doubtful else {}
    for name, (part, error) in parts.items():
        known = "" if np.isnan(error) else f" +- {error:.4f}"
        words[name] = f"{name.replace('_', ' ')} ({part:+.4f}{known})"
        if may_be_chance(part, error):
            later = name in ("memorization", "data", "memorization_and_data")
            more = "validation or held-out data" if later else "measured training data"
            doubts[name] = f"but this may be chance: more {more} would tell"
    largest, *_ = order = sorted(share, key=share.get, reverse=True)
    sure = [name for name in order if name not in doubts]
    reasons = [f"{words[x]}: {REASONS[x][sign]}." for x in sure if share[x] > 0]
    against = [words[x] for x in sure[::-1] if share[x] * abs(gap) <= -5e-5]
    text = f"the training loss is {abs(gap):.4f} {side} the validation loss"
    if largest in sure:
        text += f", most of all because of {reasons[0]}"
    else:
        text += f". The largest part is {words[largest]}, {doubts[largest]}."
        text += f" Beyond chance is {reasons[0]}" if reasons else ""
    return text + (f" Against it: {', '.join(against)}." if against else "")


def count_copies(x_train, x_val) -> int:
    """Count the examples of `x_val` that are in `x_train`, too, byte for byte.

    Both are NumPy arrays of one dtype and one shape of example; else a `ValueError`.
    """
    if (x_train.dtype, x_train.shape[1:]) != (x_val.dtype, x_val.shape[1:]):
        raise ValueError("copies cannot be counted: dtypes or shapes differ")
    known = {example.tobytes() for example in x_train}
    return sum(example.tobytes() in known for example in x_val)
