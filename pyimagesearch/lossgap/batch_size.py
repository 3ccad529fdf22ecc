"""What depends on the batch, where the validation has batches of another size.

F1, IoU or Dice as a function of a batch are averaged over batches by Keras, and so is a
loss that is no mean over examples. Of the same examples, larger batches have other values.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from .metrics import is_mean, is_of_keras, metrics_by_name
from .modes import unchanged
from .samples import in_batches
from .stack import warn

# Keras' own that are functions of a batch; all its others are means over examples.
OF_A_BATCH = ("concordance", "dice", "pearson", "tversky")
# So many batches of the larger size are compared, to more than rounding.
BATCHES_TO_COMPARE = 4
RELATIVE_ROUNDING = 1e-4


class BatchSizes:
    """Compares the metrics that may depend on the batch in batches of both sizes.

    There is nothing to compare, and no cost, for a model without such metrics, for equal
    sizes, and where a size is unknown: of a `PyDataset` or a generator.
    """

    def __init__(self, model, source, told):
        self.model, self.source = model, source
        self.names = may_depend_on_batch(model)
        self.size = source.size_of_batches() if self.names else None
        self.validation_size = told.validation_batch_size()
        self.differ = set()

    def look_at_validation(self, batches):
        """Find the size of a data set's batches, when so many of them were validated.

        It is known before the second one: the last of all may be smaller.
        """
        if self.size is None or self.validation_size is not None or batches == 0:
            return
        if batches == 1 and self.model.steps_per_execution > 1:
            return  # one execution, of nobody knows how many batches
        # How many Keras has counted for the mean of the loss.
        examples = float(tf.identity(metrics_by_name(self.model)["loss"].count.value))
        self.validation_size = round(examples / batches)

    def compare(self):
        """Warn of each metric that differs, once: F1 is 0 in many a first epoch."""
        sizes = self.size, self.validation_size
        names = [name for name in self.names if name not in self.differ]
        if not names or None in sizes or len(set(sizes)) == 1:
            return
        # Whole batches of both sizes, if there are as many: where the last is smaller, the
        # mean over batches of a mean over examples is another one.
        whole, least = math.lcm(*sizes), BATCHES_TO_COMPARE * max(sizes)
        examples = self.source.part(whole * math.ceil(least / whole))
        with unchanged(self.model):
            options = {"verbose": 0, "return_dict": True}
            both = [
                self.model.evaluate(in_batches(examples, n), **options) for n in sizes
            ]
        for name in names:
            ours, others = (values.get(name) for values in both)
            if not np.isscalar(ours):
                continue  # an F1 of each class, for example
            if not np.isclose(ours, others, rtol=RELATIVE_ROUNDING, equal_nan=True):
                self.differ.add(name)
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
