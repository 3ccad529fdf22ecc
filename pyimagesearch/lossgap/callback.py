"""LossGap: what happens at each of `fit`'s calls, and in which order."""

import keras
import numpy as np

from .batch_size import warn_of_batch_sizes
from .epoch import Epoch
from .metrics import Recorder, number_of_examples
from .modes import check_own_steps
from .passes import Passes
from .stack import running_fit, warn
from .unlike import differences
from .watch import Watch

NO_VALIDATION = "LossGap: `fit` needs validation_data, validation_freq=1"
OTHER_WEIGHTS = (
    "`fit` validated other weights than are measured: put LossGap before all other "
    "callbacks, and do without SwapEMAWeights"
)


class LossGap(keras.callbacks.Callback):
    """Measure loss and metrics after each epoch, in training and in inference mode.

    Keras' training loss is an average over the epoch, in training mode. This callback
    keeps some of the batches that `fit` trains on, as they go by, and adds losses to the
    logs that are measured on them *after* the epoch:

    - `fit_data_loss`, in training mode, as `fit` has them: only if it weights them and
      the validation is not weighted, or with `plain`;
    - `training_mode_loss`: with dropout, and with each batch's own statistics;
    - `batch_statistics_loss`, only with `keras.layers.BatchNormalization`: in inference
      mode, but for these layers, which are as in training mode;
    - `inference_mode_loss`: as `model.evaluate` and the validation compute it;
    - `held_out_loss`, only with `held_out`: the same on data never trained on.

    The `History` that `fit` returns has the same of each metric that is one number
    (`training_mode_accuracy`), standard errors (`timing_error`; `nan` if unknown), and the
    share of the batches that was measured (`measured_share`).

    Example:
    ```python
    history = model.fit(x_train, y_train, validation_data=(x_val, y_val), epochs=3,
                        callbacks=[LossGap(), CSVLogger("log.csv")])
    print(in_words(history), in_words(history, "accuracy"), sep="\n")
    ```
    It stands first: others see what it measures, and have not changed the weights then.

    Args:
        steps: how many batches of an epoch to keep and measure, at random; None is all.
            They, and as many of the validation, are what it costs in memory; two to
            eight passes over them in time.
        held_out: examples from the same source as the training data, but never given to
            `fit`: arrays `(x, y)`, `(x, y, sample_weight)`, or a shuffled data set, whose
            first `steps` batches are read after each epoch.
        plain: the training examples once more, prepared as the validation's, if `fit`
            has them augmented; in the same forms. (Augmentation layers inside the model
            are regularization.)
        fit_data: another draw of augmented data, to measure instead of `fit`'s batches,
            which the network has just learnt as they were.

    Limits:
    - Nothing is changed in the training, but for `keras.random` without a seed,
      `tf.random` in an eager model, what layers keep in Python, and how far Keras reads
      ahead in a generator for the validation.
    - Layers of `keras.random` that are on in both modes: timing's error lacks their luck.
    - Penalties (L1, L2) are in both losses: only how they change is in a part, timing.
    - `BatchNormalization(renorm=True)` uses moving averages in training mode, too.
    - `EarlyStopping("inference_mode_loss")` needs `mode="min"`.
    - `fit(epochs=1)` in a loop gives a history each: join their lists, name by name.
    """

    async_safe = True  # on_test_batch_end may be called late: each batch has its place

    def __init__(self, steps=100, held_out=None, plain=None, fit_data=None):
        super().__init__()
        if keras.config.backend() != "tensorflow":
            raise ValueError("LossGap needs Keras on TensorFlow (KERAS_BACKEND)")
        if steps is not None and steps < 1:
            raise ValueError(f"LossGap: steps={steps} measures nothing: None is all")
        self.steps = steps
        given = {"held_out": held_out, "plain": plain, "fit_data": fit_data}
        self.given = {name: data for name, data in given.items() if data is not None}

    def on_train_begin(self, logs=None):
        fit = running_fit(self.model)
        if fit["validation_data"] is None or fit["validation_freq"] != 1:
            raise ValueError(NO_VALIDATION)
        check_own_steps(self.model)
        self.history = self.model.history.history  # that of `fit`
        self.training = Watch(fit["epoch_iterator"], self.model, self.steps)
        self.validation = self.passes = None
        self.is_first_epoch = True
        self.depend_on_batch = set()  # the names of metrics that were found to

    def on_epoch_begin(self, epoch, logs=None):
        self.training.epoch = epoch
        self.executions = 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.executions == 1 and self.passes is None:
            # The first batch has built the model, and an epoch is not yet spent.
            self.passes = Passes(self.model, self.training, self.given, self.steps)
            self.training.take(np.inf)
            self.passes.measure(steps=1)
        self.executions += 1

    def on_test_begin(self, logs=None):
        if self.validation is None:
            epoch_iterator = getattr(self.model, "_eval_epoch_iterator", None)
            self.validation = Watch(epoch_iterator, self.model, self.steps)
            if self.passes is None:
                self.passes = Passes(self.model, self.training, self.given, self.steps)
        self.validation.epoch = self.training.epoch
        self.validation_logs = {}

    def on_test_batch_begin(self, batch, logs=None):
        if batch == 0:  # when the other callbacks have begun the test, too
            self.weights = norms_of_weights(self.model)

    def on_test_batch_end(self, batch, logs=None):
        self.validation_logs[batch] = logs

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" not in logs:
            raise ValueError(NO_VALIDATION)
        at_once = self.model.steps_per_execution
        self.training.take(self.executions * at_once)
        self.validation.take(len(self.validation_logs) * at_once)
        weights = norms_of_weights(self.model)
        if not np.array_equal(self.weights, weights, equal_nan=True):
            warn(OTHER_WEIGHTS)
        if self.is_first_epoch:
            self.is_first_epoch = False
            self.warn_of_other_data()
        validated = Recorder(self.model, share=1.0)
        validated.logs = [x for _, x in sorted(self.validation_logs.items())]
        validated.examples = number_of_examples(validated.metrics.get("loss"))
        recorders = self.passes.measure(self.validation)
        measured = Epoch(recorders, validated, self.training.batches, self.given)
        inference_mode = self.passes.modes["inference_mode"]
        warn_of_batch_sizes(
            self.depend_on_batch, self.training, self.validation, inference_mode
        )
        self.training.let_go()
        self.validation.let_go()
        for metric in [name for name in logs if measured.has_gap(name, logs)]:
            values = measured.values(metric)
            self.record(measured.errors(metric, metric in self.depend_on_batch))
            # Only the losses are logged: Keras' line for each epoch is long enough.
            if metric == "loss":
                logs.update(values)
            else:
                self.record(values)
        self.record({"measured_share": measured.share_of_fit()})

    def record(self, values):
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))

    def warn_of_other_data(self):
        """Say where sample weights are missing, and where the validation is unlike."""
        for name, source in {"`fit`": self.training, **self.passes.given}.items():
            other = "`fit`" if name == "fit_data" else "the validation"
            compared = self.training if name == "fit_data" else self.validation
            if compared.is_weighted and not source.is_weighted:
                warn(
                    f"{other} has sample weights, and {name} has none: a part is from these"
                )
        both = self.training, self.validation
        found = "; ".join(differences(*(watch.batches_kept() for watch in both)))
        if found:
            warn(
                f"the validation's data are unlike those of `fit` ({found}): look at how "
                "both are prepared, drawn and augmented"
            )


def norms_of_weights(model):
    # Not sums: gradients of a softmax leave those of its weights as they are.
    return [np.linalg.norm(x) for x in model.get_weights()]
