"""What `fit` was told: the data to measure, and where other data do not fit to it."""

import math
from inspect import isgenerator

import keras
import numpy as np

from .samples import Arrays, are_arrays, is_weighted
from .stack import arguments_of_fit

DEFAULT_BATCH_SIZE = 32  # Keras', of arrays
NO_VALIDATION = "LossGap: `fit` needs validation_data, validation_freq=1"


class Told:
    """What `fit`, which is running, was told; nothing where a loop of one's own runs.

    Raises:
        ValueError: if there will be no validation after each epoch.
    """

    def __init__(self, model):
        self.arguments = arguments_of_fit(model)
        if not self.arguments:
            return
        validation_data = self.arguments["validation_data"]
        if validation_data is None or self.arguments["validation_freq"] != 1:
            raise ValueError(NO_VALIDATION)
        self.validation = keras.utils.unpack_x_y_sample_weight(validation_data)
        self.trains_on_arrays = are_arrays(self.arguments["x"])

    def data_to_measure(self):
        """`fit`'s own data by name: `x`, and as `fit_data` what only `fit` weights.

        The weights of `fit` are the validation's, too, if that has some; otherwise they
        are what `fit` does to the data, as class weights always are.
        """
        if not self.arguments:
            raise ValueError("LossGap: no `fit` of Keras: give x, y and batch_size")
        if not self.trains_on_arrays:
            raise ValueError(
                "LossGap: `fit` trains on a data set or a generator: give LossGap its "
                "examples, as arrays (x, y and batch_size) or as a data set built anew; "
                "and as fit_data, if `fit` has them augmented or weighted, these"
            )
        x, y = self.arguments["x"], self.arguments["y"]
        weights, of_classes = map(self.arguments.get, ["sample_weight", "class_weight"])
        if of_classes is not None:
            return {"x": (x, y), "fit_data": (x, y, weights_of_classes(y, of_classes))}
        if weights is None or self.validation_is_weighted():
            return {"x": (x, y, weights)}
        return {"x": (x, y), "fit_data": (x, y, weights)}

    def batch_size(self):
        """That of `fit`, if it trains on arrays."""
        if not self.arguments or not self.trains_on_arrays:
            return None
        given, steps = self.arguments["batch_size"], self.arguments["steps_per_epoch"]
        return batch_size_of_arrays(self.arguments["x"], given, steps)

    def order_is_mixed(self):
        """Whether `fit` mixes the examples of its arrays before it cuts them in batches."""
        if not self.arguments or not self.trains_on_arrays:
            return True
        return self.arguments["shuffle"] not in (False, "batch")

    def validation_batch_size(self):
        """That of the validation, if it is of arrays."""
        if not self.arguments or not are_arrays(self.validation[0]):
            return None
        given = self.arguments["validation_batch_size"] or self.arguments["batch_size"]
        steps = self.arguments["validation_steps"]
        return batch_size_of_arrays(self.validation[0], given, steps)

    def validation_is_weighted(self):
        """Whether it has sample weights; None where only reading it would tell."""
        x, _, sample_weight = self.validation
        if sample_weight is None and not are_arrays(x):
            return is_weighted(x)
        return sample_weight is not None

    def validation_to_measure(self):
        """A sample of all the validation's data, as `fit` has them, named `validation`.

        `{}` of a generator, which it would use up.
        """
        if not self.arguments or isgenerator(self.validation[0]):
            return {}
        x, y, sample_weight = self.validation
        arguments = {"x": x}
        if are_arrays(x):
            size = self.validation_batch_size()
            options = {"batch_size": size, "steps": None, "mixed": False}
            arguments = Arrays("validation", x, y, sample_weight, **options).draw()
        return {"validation": arguments | {"steps": self.arguments["validation_steps"]}}

    def differences(self, source, has_fit_data, batches_of_fit):
        """Where `source`, of what LossGap was given, is not what `fit` has; in words."""
        found = []
        if not has_fit_data:
            found += self.differences_in_number(source, batches_of_fit)
            if self.arguments["class_weight"] is not None:
                found.append("`fit` has class_weight, and there is no fit_data")
            if self.arguments["sample_weight"] is not None and not source.is_weighted:
                found.append("`fit` has sample_weight, and there is no fit_data")
        weighted = self.validation_is_weighted(), source.is_weighted
        if weighted == (True, False):
            found.append("the validation has sample weights, and x has none")
        if weighted == (False, True):
            found.append("x has sample weights, and the validation has none")
        return found

    def differences_in_number(self, source, batches_of_fit):
        if self.arguments["steps_per_epoch"]:
            return []  # an epoch of `fit` is some of its data
        if self.trains_on_arrays and isinstance(source, Arrays):
            examples = number_of_examples(self.arguments["x"])
            if examples != source.examples:
                return [f"`fit` has {examples} examples, and x has {source.examples}"]
        # One more or less is a last batch that is smaller, and left out or not.
        batches = source.batches
        if batches and batches_of_fit and abs(batches - batches_of_fit) > 1:
            return [f"`fit` has {batches_of_fit} batches an epoch, and x has {batches}"]
        return []


def number_of_examples(arrays):
    return int(keras.tree.flatten(arrays)[0].shape[0])


def batch_size_of_arrays(arrays, batch_size, steps):
    """As Keras has it: what was given, or as many as make the steps, or 32."""
    examples = number_of_examples(arrays)
    default = math.ceil(examples / steps) if steps else DEFAULT_BATCH_SIZE
    return min(batch_size or default, examples)


def weights_of_classes(y, class_weight):
    """The weight of each label, one-hot, sparse or in a column, as Keras reads them."""
    labels = keras.ops.convert_to_numpy(y)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        labels = labels.argmax(axis=-1)
    classes = np.round(labels.reshape(-1)).astype(int)
    return np.array([class_weight.get(int(c), 1.0) for c in classes], "float32")
