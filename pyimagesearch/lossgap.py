"""Measure why the validation loss differs from the training loss."""

import inspect

import keras


class LossGap(keras.callbacks.Callback):
    """Measure the loss on training images after each epoch, in both modes.

    Keras reports a training loss that is averaged over the epoch, in training mode.
    This callback adds the same loss *after* the epoch to the epoch's logs, as

    - `training_mode_loss`: with dropout on and the statistics of each batch, and
    - `inference_mode_loss`: as `model.evaluate` and the validation see it,

    so that `pyimagesearch.history.split_gap` can tell the reasons for the gap apart.
    Callbacks that write logs, such as `CSVLogger`, must stand behind this one in
    `callbacks=[...]` to see the two. `History` always does.

    It works with any compiled model and its loss; weight penalties are counted where
    Keras counts them. Training goes on as if nothing had been measured: batch
    normalization's averages and the seeds of dropout are put back. Class and sample
    weights given to `fit` are not known here.

    Args:
        x: training images, or a sample of them, shape `(n, ...)`; all that
            `model.evaluate` takes will do.
        y: their labels, shape `(n, ...)`, as for `model.evaluate`.
        batch_size: images in a batch; should be `fit`'s, as batch normalization
            in training mode depends on it.
    """

    def __init__(self, x, y, batch_size: int = 32):
        super().__init__()
        self.x = x
        self.y = y
        self.batch_size = batch_size

    def on_train_begin(self, logs=None):
        self.training_mode = TrainingMode(self.model)
        self.training_mode.compile(
            run_eagerly=self.model.run_eagerly, jit_compile=self.model.jit_compile
        )

    def on_epoch_end(self, epoch, logs):
        # Training mode changes these, and so would the next epoch's training.
        variables = self.model.non_trainable_variables
        values = [variable.numpy() for variable in variables]
        try:
            logs["training_mode_loss"] = self.loss_of(self.training_mode)
        finally:
            for variable, value in zip(variables, values):
                variable.assign(value)
        logs["inference_mode_loss"] = self.loss_of(self.model)

    def loss_of(self, model):
        results = model.evaluate(
            self.x, self.y, self.batch_size, verbose=0, return_dict=True
        )
        return results["loss"]


class TrainingMode(keras.Model):
    """A model whose `evaluate` runs `model` in training mode, with `model`'s loss."""

    def __init__(self, model):
        super().__init__(dtype=model.dtype_policy)
        self.inner = model
        # `fit` sets the mode only of a model whose `call` takes it.
        takes_mode = "training" in inspect.signature(model.call).parameters
        self.mode = {"training": True} if takes_mode else {}

    def call(self, inputs):
        return self.inner(inputs, **self.mode)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return self.inner.compute_loss(x, y, y_pred, sample_weight)
