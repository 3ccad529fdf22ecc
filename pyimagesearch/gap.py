"""The gap between the two losses, split into its reasons: as numbers and in words.

A history is what `model.fit` returns, or its `.history`: a dict with a list of numbers
for each loss, one number an epoch, measured by the callback `LossGap`.
"""

import numpy as np

# What each part of the gap is: true for every model, and for both signs.
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
        By name, arrays of the shape `(epochs,)` in the unit of the loss, whose sum is
        the gap:

        - `timing`: the training loss is averaged during the epoch, while the network
          still learns, and the validation loss is taken after it;
        - `regularization`: what is on in training mode only, such as dropout;
        - `batch_normalization`, if the model has any: it takes the statistics of each
          batch in training mode, and moving averages in inference mode;
        - `memorization`: the network knows the data that it is trained on (negative);
        - `data`: the validation data are easier (positive) or harder (negative) than
          held-out training data;
        - `memorization_and_data` instead of these two, if `LossGap` had no held-out
          data.

    Raises:
        ValueError: if the gap was not measured, or not in every epoch.

    Source: timing, regularization and data are the three reasons of
    https://pyimagesearch.com/2019/10/14/why-is-my-validation-loss-lower-than-my-training-loss/
    """
    losses = losses_of(history)
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


def losses_of(history):
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
    return losses


def table(history) -> str:
    """The losses and the parts of the gap; epochs count from 1, as in Keras' output."""
    losses, parts = losses_of(history), split_gap(history)
    gap = sum(parts.values())
    values = np.column_stack([losses["loss"], losses["val_loss"], gap, *parts.values()])
    names = ["loss", "val_loss", "gap", *parts]
    headings = [HEADINGS.get(name, ("", name)) for name in names]

    def line(epoch, cells):
        return " ".join([f"{epoch:>5}", *(f"{cell:>8}" for cell in cells)])

    lines = [line(epoch, cells) for epoch, cells in zip(["", "epoch"], zip(*headings))]
    for epoch, row in [*enumerate(values, start=1), ("mean", values.mean(axis=0))]:
        lines.append(line(epoch, [f"{value:.4f}" for value in row]))
    return "\n".join(lines)


def in_words(history) -> str:
    """What the parts of the gap say of the first epoch, the last one and its sign."""
    losses, parts = losses_of(history), split_gap(history)
    gap = sum(parts.values())
    epochs = np.flatnonzero(np.isfinite(gap))
    if len(epochs) == 0:
        return "No epoch has a gap that is a number: the training diverged."
    first, last = epochs[[0, -1]]
    lines = [largest_part(parts, epoch) for epoch in sorted({first, last})]

    signed = epochs[seen(gap[epochs])]
    changes = np.flatnonzero(np.diff(np.sign(gap[signed])))
    if len(changes) > 0:
        before, after = signed[changes[-1] : changes[-1] + 2]
        times = f" {len(changes)} times, the last time" if len(changes) > 1 else ""
        lines.append(
            f"The gap changes its sign{times} between epochs {before + 1} and "
            f"{after + 1}: in epoch {after + 1}, {both_sides(parts, after)}."
        )
    elif len(signed) > 1:
        lines.append("The gap does not change its sign.")

    normalization = parts.get("batch_normalization", np.zeros(len(gap)))
    if normalization[last] < -losses["val_loss"][last] / 10:
        # Most often, since small batches and batches that are not mixed do the same.
        lines.append(
            f"In epoch {last + 1} batch normalization makes losses in inference mode, "
            "such as the validation loss, much higher. Most often its moving averages "
            "have not caught up with the network, which is then better than its "
            "validation loss says: more updates help, larger batches, or a smaller "
            "momentum of BatchNormalization."
        )
    return "\n".join(lines)


def largest_part(parts, epoch):
    gap = sum(part[epoch] for part in parts.values())
    if not seen(gap):
        return f"In epoch {epoch + 1} the two losses are equal."
    name = max(parts, key=lambda name: parts[name][epoch] * np.sign(gap))
    return (
        f"In epoch {epoch + 1} the training loss is {abs(gap):.4f} "
        f"{'above' if gap > 0 else 'below'} the validation loss, most of all "
        f"because of {with_value(parts, name, epoch)}: {REASONS[name]}."
    )


def both_sides(parts, epoch):
    """Say which parts have the sign of the gap, and which have the other."""
    sign = np.sign(sum(part[epoch] for part in parts.values()))
    names = [name for name in parts if seen(parts[name][epoch])]
    heavy, light = (
        ", ".join(
            with_value(parts, name, epoch)
            for name in names
            if parts[name][epoch] * side > 0
        )
        for side in (sign, -sign)
    )
    return f"{heavy} against {light}" if light else f"{heavy} and nothing against it"


def with_value(parts, name, epoch):
    return f"{name.replace('_', ' ')} ({parts[name][epoch]:+.4f})"


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
