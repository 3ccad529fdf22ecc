"""What is measured after an epoch: the passes, in their order, each in a mode, of data."""

from functools import partial

from .data import Given, without_weights
from .measure import evaluate
from .metrics import is_from_sums, metrics_by_name
from .modes import BatchNormalizationModes, Mode


class Passes:
    """The passes over a model that has trained on a batch.

    Args:
        model: the model.
        training: the `Watch` of what it trains on.
        given: what LossGap was given, by the names of its arguments.
        steps: how many batches of that to measure; all if None.
    """

    def __init__(self, model, training, given, steps):
        self.model, self.training = model, training
        normalization = BatchNormalizationModes(model)
        noted = partial(normalization.watched, repeat=False)
        repeated = partial(normalization.watched, repeat=True)
        self.training_mode = Mode(model, True, noted)
        self.batch_statistics = Mode(model, False, repeated)
        self.inference_mode = Mode(model, False)
        self.has_batch_normalization = bool(normalization.layers)
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
            self.passes["fit_data"] = self.training_mode, as_fit.data, as_fit
        # Before the statistics of each batch, which repeat what training mode has noted.
        self.passes["training_mode"] = self.training_mode, data, plain
        if self.has_batch_normalization:
            self.passes["batch_statistics"] = self.batch_statistics, data, plain
        self.passes["inference_mode"] = self.inference_mode, data, plain
        if "held_out" in self.given:
            held_out = self.given["held_out"]
            data = as_validation(held_out)
            self.passes["held_out"] = self.inference_mode, data, held_out
        kinds = metrics_by_name(self.model).values()
        if validation is not None and any(map(is_from_sums, kinds)):
            sample = self.inference_mode, validation.data, validation
            self.passes["validation_sample"] = sample

    def measure(self, steps=None):
        """Run the passes; return by name the `Recorder` of each.

        Args:
            steps: how many batches to measure, to try; by default all that there are.
        """
        for given in self.given.values():
            given.read(steps)
        recorders = {
            name: evaluate(mode, data, steps or source.steps, source.share)
            for name, (mode, data, source) in self.passes.items()
        }
        for given in self.given.values():
            given.kept = []  # so that they take no memory
        return recorders
