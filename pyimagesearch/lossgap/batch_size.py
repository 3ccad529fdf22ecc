"""What depends on the batch, where the validation has batches of another size.

F1, IoU or Dice as a function of a batch are averaged over batches by Keras, and so is a
loss that is no mean over examples. Of the same examples, larger batches have other values.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from .metrics import is_mean, is_of_keras, metrics_by_name
from .passes import evaluate
from .stack import warn

# Keras' own that are functions of a batch; all its others are means over examples.
OF_A_BATCH = ("concordance", "dice", "pearson", "tversky")
# How many batches of the larger size are compared, and what difference is rounding.
BATCHES_TO_COMPARE = 4
RELATIVE_ROUNDING = 1e-4


def warn_of_batch_sizes(known, training, validation, inference_mode):
    """Warn of each metric that is another one in batches of the validation's size.

    Its name is added to those that are `known`: each is warned of once, but not always
    in the first epoch, in which many an F1 is 0.
    """
    names = may_depend_on_batch(inference_mode.inner)
    names = [name for name in names if name not in known]
    sizes = training.batch_size, validation.batch_size
    if not names or sizes[0] == sizes[1]:
        return
    # Whole batches of both sizes, if there are as many: where the last is smaller, the
    # mean over batches of a mean over examples is another one.
    whole, least = math.lcm(*sizes), BATCHES_TO_COMPARE * max(sizes)
    kept = sum(int(tensors[0].shape[0]) for tensors in training.kept)
    n = min(kept, whole * math.ceil(least / whole))
    examples = training.data.unbatch().take(n)
    both = []
    for size in sizes:
        batches, number = examples.batch(size), math.ceil(n / size)
        both.append(evaluate(inference_mode, batches, number).logs[-1])
    for name in names:
        ours, others = (logs.get(name) for logs in both)
        if not np.isscalar(ours):
            continue  # an F1 of each class, for example
        if not np.isclose(ours, others, rtol=RELATIVE_ROUNDING, equal_nan=True):
            known.add(name)
            warn(
                f"{name} depends on the batch: {ours:.4f} in batches of {sizes[0]}, "
                f"{others:.4f} in the validation's {sizes[1]}: use "
                f"validation_batch_size={sizes[0]}, or a data set of such batches"
            )


def may_depend_on_batch(model):
    """The names of those metrics, and of the loss, that may depend on the batch."""
    losses = [loss for loss in tf.nest.flatten(model.loss) if loss is not None]
    loss_may = any(is_of_a_batch(loss) for loss in losses)

    def may_depend(metric):
        if type(metric) is keras.metrics.Mean:  # of the loss: an output's, or all
            return loss_may
        if type(metric) is keras.metrics.MeanMetricWrapper:
            return is_of_a_batch(metric._fn)
        return is_of_a_batch(metric) if is_mean(metric) else not is_of_keras(metric)

    metrics = metrics_by_name(model)
    return [name for name in metrics if may_depend(metrics[name])]


def is_of_a_batch(function):
    """Whether it may be: what is not Keras' own may."""
    if isinstance(function, str):
        name = function
    else:
        name = getattr(function, "__name__", type(function).__name__)
        if not is_of_keras(function) or getattr(function, "reduction", "") == "sum":
            return True
    return name.lower().startswith(OF_A_BATCH)
