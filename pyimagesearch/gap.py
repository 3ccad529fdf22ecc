"""The gap between the two losses, split into its reasons: as numbers and in words.

A history is what `model.fit` returns, or its `.history`: a dict with a list of numbers
for each loss, one number an epoch, measured by the callback `LossGap`.
"""

import numpy as np

# What each part of the gap is, for both signs. (If the training data are weighted or
# augmented, the other data must be, too: see LossGap.)
REASONS = {
    "timing": "the training loss is measured earlier",
    "regularization": "what is on in training mode only, such as dropout",
    "batch_normalization": "statistics of the batch in training, moving averages in "
    "validation",
    "memorization": "the training data are known (-), or harder by chance (+)",
    "data": "the validation data are easier or known too (+), or harder (-)",
    # The last two, where no data were held out.
    "memorization_and_data": "the training data are known (-), the validation data "
    "easier or known too (+), or harder (-)",
}

# In two lines, so that a table with all parts fits into 80 columns.
HEADINGS = {
    "regularization": ("regular-", "ization"),
    "batch_normalization": ("batch", "norm."),
    "memorization": ("memori-", "zation"),
    "memorization_and_data": ("memoriz.", "and data"),
}


def split_gap(history) -> dict[str, np.ndarray]:
    """Split the gap `loss - val_loss` of each epoch into its reasons.

    Returns:
        By name, the parts that `REASONS` explains: arrays of the shape `(epochs,)` in
        the unit of the loss, whose sum is the gap. `batch_normalization` is there if
        the model has any. `memorization` and `data` are there if `LossGap` had held-out
        data, and else `memorization_and_data`.

    Raises:
        ValueError: if the gap was not measured, or not in every epoch.

    Source: timing, regularization and data are the three reasons of
    https://pyimagesearch.com/2019/10/14/why-is-my-validation-loss-lower-than-my-training-loss/
    """
    history = getattr(history, "history", history)
    needed = ["loss", "val_loss", "training_mode_loss", "inference_mode_loss"]
    for name in needed:
        if name not in history:
            raise ValueError(
                f"the gap was not measured, there is no {name}: train with "
                "fashion_mnist.py --explain, or with validation data and LossGap"
            )
    names = [*needed, "batch_statistics_loss", "held_out_loss"]
    losses = {
        name: np.asarray(history[name], float) for name in names if name in history
    }
    if len({len(values) for values in losses.values()}) > 1:
        raise ValueError(
            "the gap was not measured in every epoch: use validation_freq=1, and "
            "LossGap from the first epoch on"
        )

    training, inference = losses["training_mode_loss"], losses["inference_mode_loss"]
    parts = {"timing": losses["loss"] - training}
    if "batch_statistics_loss" in losses:
        parts["regularization"] = training - losses["batch_statistics_loss"]
        parts["batch_normalization"] = losses["batch_statistics_loss"] - inference
    else:
        parts["regularization"] = training - inference
    if "held_out_loss" in losses:
        parts["memorization"] = inference - losses["held_out_loss"]
        parts["data"] = losses["held_out_loss"] - losses["val_loss"]
    else:
        parts["memorization_and_data"] = inference - losses["val_loss"]
    return parts


def table(history) -> str:
    """The losses and the parts of the gap, in four decimals; epochs count from 1."""
    parts = split_gap(history)
    history = getattr(history, "history", history)
    columns = {name: history[name] for name in ("loss", "val_loss")}
    columns.update(gap=sum(parts.values()), **parts)
    headings = [HEADINGS.get(name, ("", name)) for name in columns]
    values = np.column_stack([*columns.values()])

    def line(epoch, cells):
        return " ".join([f"{epoch:>5}", *(f"{cell:>8}" for cell in cells)])

    lines = [line(epoch, cells) for epoch, cells in zip(["", "epoch"], zip(*headings))]
    for epoch, row in [*enumerate(values, start=1), ("mean", values.mean(axis=0))]:
        lines.append(line(epoch, [f"{value:.4f}" for value in row]))
    return "\n".join(lines)


def in_words(history) -> str:
    """What the parts say of the first epoch, a change of the gap's sign and the last."""
    parts = split_gap(history)
    gap = sum(parts.values())
    epochs = np.flatnonzero(np.isfinite(gap))
    if len(epochs) == 0:
        return "In no epoch are all losses finite numbers: the gap cannot be split."
    first, last = epochs[[0, -1]]

    signed = epochs[seen(gap[epochs])]
    changes = np.flatnonzero(np.diff(np.sign(gap[signed])))
    sign, changed = "The gap does not change its sign.", last
    if len(changes) > 0:
        before, changed = signed[changes[-1] : changes[-1] + 2]
        times = f" {len(changes)} times, the last time" if len(changes) > 1 else ""
        sign = f"The gap changes its sign{times} between epochs {before + 1} and "
        sign += f"{changed + 1}."
    lines = [explained(parts, epoch) for epoch in sorted({first, changed, last})]
    if len(signed) > 1:
        lines.append(sign)
    if len(epochs) < len(gap):
        lines.append("Epochs in which a loss is no finite number are left out.")

    losses = getattr(history, "history", history)
    normalization = parts.get("batch_normalization", np.zeros(len(gap)))
    if normalization[last] < -abs(losses["val_loss"][last]) / 10:
        # Most often, since small batches and batches that are not mixed do the same.
        lines.append(
            f"In epoch {last + 1} batch normalization makes losses in inference mode, "
            "such as the validation loss, much higher. Most often its moving averages "
            "have not caught up with the network, which is then better than its "
            "validation loss says: more updates help, larger batches, or a smaller "
            "momentum of BatchNormalization."
        )
    return "\n".join(lines)


def explained(parts, epoch):
    """Say which part has most of an epoch's gap, and which parts are against it."""
    gap = sum(part[epoch] for part in parts.values())
    if not seen(gap):
        return f"In epoch {epoch + 1} the two losses are equal to four decimals."
    signed = {name: part[epoch] * np.sign(gap) for name, part in parts.items()}
    words = {
        name: f"{name.replace('_', ' ')} ({part[epoch]:+.4f})"
        for name, part in parts.items()
    }
    most = max(signed, key=signed.get)
    against = ", ".join(words[name] for name in parts if seen(min(signed[name], 0)))
    return (
        f"In epoch {epoch + 1} the training loss is {abs(gap):.4f} "
        f"{'above' if gap > 0 else 'below'} the validation loss, most of all "
        f"because of {words[most]}: {REASONS[most]}."
        + (f" Against it: {against}." if against else "")
    )


def seen(value):
    """Whether it is more than zero as it is printed, with four decimals."""
    return abs(value) >= 0.00005


def count_copies(x_train, x_val) -> int:
    """Count the validation data that are training data too, byte for byte.

    Args:
        x_train: training data, a NumPy array of the shape `(n, ...)`.
        x_val: validation data, a NumPy array of the same dtype, shape `(m, ...)`.
    """
    known = {example.tobytes() for example in x_train}
    return sum(example.tobytes() in known for example in x_val)
