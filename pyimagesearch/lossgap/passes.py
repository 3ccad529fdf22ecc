"""What is measured after an epoch: the passes, in their order, each in a mode, of data."""

from collections import namedtuple

from .data import Given, without_weights
from .measure import Measuring
from .metrics import is_from_sums, metrics_by_name
from .modes import BatchNormalizationModes, OtherMode

# An `evaluate` of `data`, which are those of a `source` with or without their weights.
Pass = namedtuple("Pass", "model data source")


class Passes:
    """The passes over a model that has trained on a batch.

    Args:
        model: the model.
        training: the `Watch` of what it trains on.
        given: what LossGap was given, by the names of its arguments.
        steps: how many batches of that to measure; all if None.
    """

    def __init__(self, model, training, given, steps):
        self.model = model
        self.measuring = Measuring(model)
        self.normalization = BatchNormalizationModes(model)
        self.training_mode = OtherMode(model, self.normalization, training=True)
        self.statistics = OtherMode(model, self.normalization, training=False)
        self.training = training
        self.given = {
            name: Given(name, data, training.batch_size, steps)
            for name, data in given.items()
        }
        self.choose()

    def choose(self, validation=None):
        """Choose the passes; `validation` is the `Watch` of the validation, if known.

        Data are measured as the validation has them, with weights or without. As `fit`
        has them, if they are weighted for it alone, or augmented, is a pass of its own.
        """
        weighted = validation is not None and validation.is_weighted

        def as_validation(source):
            return source.data if weighted else without_weights(source.data)

        as_fit = self.given.get("fit_data", self.training)
        plain = self.given.get("plain", as_fit)
        data = as_validation(plain)
        self.passes = {}
        if plain is not as_fit or (as_fit.is_weighted and not weighted):
            self.passes["fit_data"] = Pass(self.training_mode, as_fit.data, as_fit)
        # Training mode is before the statistics of each batch: it notes in which mode
        # each batch normalization layer is, which may be frozen, and they repeat that.
        self.passes["training_mode"] = Pass(self.training_mode, data, plain)
        if self.normalization.layers:
            self.passes["batch_statistics"] = Pass(self.statistics, data, plain)
        self.passes["inference_mode"] = Pass(self.model, data, plain)
        if "held_out" in self.given:
            held_out = self.given["held_out"]
            data = as_validation(held_out)
            self.passes["held_out"] = Pass(self.model, data, held_out)
        kinds = metrics_by_name(self.model).values()
        if validation is not None and any(map(is_from_sums, kinds)):
            self.passes["validation"] = Pass(self.model, validation.data, validation)

    def measure(self, steps=None):
        """Run the passes; return by name the `Recorder` of each.

        Args:
            steps: how many batches to measure, to try; by default all that there are.
        """
        for given in self.given.values():
            given.read(steps)
        recorders = {
            name: self.measuring.evaluate(model, data, steps or source.steps)
            for name, (model, data, source) in self.passes.items()
        }
        for given in self.given.values():
            given.kept = []  # so that they take no memory
        return recorders

    def evaluate(self, data, steps):
        """Measure so many batches of other data in inference mode."""
        return self.measuring.evaluate(self.model, data, steps)

    def shares(self):
        """The share `n / N` of its source's batches that each pass measures, by name."""
        return {name: one.source.share for name, one in self.passes.items()}

    def share_of_fit(self):
        """The smallest share of the data of `fit`, or of what stands for them."""
        names = ["fit_data", "training_mode"]
        shares = self.shares()
        return min(shares[name] for name in names if name in shares)
