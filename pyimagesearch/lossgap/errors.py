"""The standard errors of the parts: one function a formula.

Functions named `of_...` return a *squared* standard error, as these add up; `nan` where
it is unknown, 0 only where nothing was drawn. `errors_of_parts` says which a part has.
"""

from collections import namedtuple

import numpy as np

# What was measured of a metric: `values`, those of the single batches, and `losses`, the
# losses of the same batches, arrays of the shape `(n,)`; `share`, `n / N` of the `N`
# batches that there are; and `examples`, how many are in a batch.
Batches = namedtuple("Batches", "values losses share examples")

# Half of Student's t(0.975, n - 1), by n; in between it is interpolated.
HALF_OF_T = {2: 6.4, 3: 2.2, 4: 1.6, 5: 1.4, 6: 1.3, 7: 1.2, 10: 1.1, 60: 1.0}

# Fewer batches than these may all have one accuracy by luck.
FEW = 10
# Values that differ by no more than this part of them are alike but for rounding.
ROUNDING = 1e-4


def student_factor(n):
    """By how much an error from n batches is widened, so that two hold 95 %.

    The spread of few values is itself uncertain. Source: Student, The Probable Error of
    a Mean, 1908.
    """
    return np.interp(n, list(HALF_OF_T), list(HALF_OF_T.values()))


def variance(values, losses):
    """The variance among single batches, `s² = sum((v - mean)²) / (n - 1)`, widened.

    0 only if nothing was drawn: the differences of two modes that do the same. Unknown of
    one batch, and of a few accuracies that are alike, by luck, while the losses are not.
    """
    n = len(values)
    if n > 0 and not np.any(values) and not np.any(losses):
        return 0.0
    if n < 2 or (n < FEW and are_alike(values) and not are_alike(losses)):
        return np.nan
    return (np.std(values, ddof=1) * student_factor(n)) ** 2


def are_alike(values):
    return np.ptp(values) <= ROUNDING * np.max(np.abs(values))


def of_draw(batches):
    """Of a mean of n batches out of endlessly many: `s²/n`.

    It holds for batches in a random order; of sorted data it is too large.
    """
    n = len(batches.values)
    return variance(batches.values, batches.losses) / n if n else np.nan


def of_mean(batches):
    """Of a mean whose pass draws nothing, as in inference mode: `(1 - n / N) s²/n`.

    Of batches drawn without replacement, all of them leave no error. Source: Cochran,
    Sampling Techniques, 2.6.
    """
    if batches.share == 1:
        return 0.0  # of a single batch, too, whose variance is unknown
    return (1 - batches.share) * of_draw(batches)


def of_other_examples(batches, training, in_mean):
    """Of a mean over validation or held-out data: `max(s², s²_train b_train / b) / N`.

    Both in inference mode, with `b` examples in a batch. Rare events (the one wrong
    answer in 200, an enormous target) may be missing among a few examples, whose spread
    is then too small; the training data, more of them, know it. An upper estimate where
    the others truly vary less. `in_mean` is N, the number of batches in the mean.
    """
    own = variance(batches.values, batches.losses)
    of_training = variance(training.values, training.losses)
    of_training *= training.examples / batches.examples
    if np.isnan(own):
        return np.nan
    return np.fmax(own, of_training) / in_mean


def difference(batches, others):
    """The differences of two modes on the same batches, in which these cancel."""
    return batches._replace(
        values=batches.values - others.values, losses=batches.losses - others.losses
    )


def of_luck(batches, others):
    """Of what each pass draws anew, as dropout is: `d²/n`, `d` the modes' difference.

    There is no correction for finite data, as all of it is drawn again. How differently
    the batches react to the mode counts, too: an upper estimate.
    """
    return of_draw(difference(batches, others))


def of_paired_means(batches, others):
    """Of two modes on the same batches that both draw nothing: `(1 - n / N) d²/n`."""
    return of_mean(difference(batches, others))


def of_pass(batches, luck):
    """Of a mean whose pass draws dropout: `(1 - n / N) s²/n + (n / N) d²/n`.

    `s²` consists of the examples' variance, `s² - d²`, of which finite data leave less,
    and of the luck of the pass, `d²`, of which all is left. `luck` is `d²/n`.
    """
    return of_mean(batches) + batches.share * luck


def of_timing(batches, luck):
    """Of `fit`'s epoch, N batches, against a pass over n of them afterwards.

    `(1 - n / N) s²/n + 2 (n / N) d²/n`: `fit`'s epoch is a pass with luck of its own.
    """
    return of_pass(batches, luck) + batches.share * luck


def of_timing_of_another_draw(batches, batches_of_fit):
    """Of `fit`'s epoch, N batches, against n of another draw: `s²/n + s²/N`.

    The `s²` of `fit`'s epoch is taken to be that after it.
    """
    return of_draw(batches) * (1 + len(batches.values) / batches_of_fit)


def luck_of_other(batches, others, luck):
    """`d²/n` of other data, in proportion to `s²/n`: weights of 2 make both four times."""
    if batches is others or luck == 0:
        return luck
    return luck * of_draw(batches) / of_draw(others)


def errors_of_parts(measured, validation, batches_of_fit, other_draw, paired):
    """The standard errors of all parts, and of the validation's own mean.

    Memorization and data compare sets of examples that share none: both means' variances
    add up. The training data count as all there are, held-out and validation data as
    draws. (Both parts share the error of the held-out data, with opposite signs.)

    Args:
        measured: the `Batches` of each measurement, by its name.
        validation: those of the validation.
        batches_of_fit: how many `fit` has in an epoch.
        other_draw: whether what timing is measured on is another draw of the data.
        paired: whether the data as `fit` has them are measured on the same batches.

    Returns:
        Errors in the unit of the metric, by the names of `PARTS` and `validation`.
    """
    training, inference = measured["training_mode"], measured["inference_mode"]
    as_fit = measured.get("fit_data", training)
    # Which examples share a batch is no luck: the batches are those of `fit`.
    statistics = measured.get("batch_statistics", inference)
    luck = of_luck(training, statistics)
    luck_as_fit = luck_of_other(as_fit, training, luck)

    squared = {"timing": of_timing(as_fit, luck_as_fit), "regularization": luck}
    if other_draw:
        squared["timing"] = of_timing_of_another_draw(as_fit, batches_of_fit)
    if "fit_data" in measured and paired:
        squared["augmentation_and_weights"] = of_luck(as_fit, training)
    elif "fit_data" in measured:
        both = of_pass(as_fit, luck_as_fit) + of_pass(training, luck)
        squared["augmentation_and_weights"] = both
    if "batch_statistics" in measured:
        squared["batch_normalization"] = of_paired_means(statistics, inference)
    n = len(validation.values) / validation.share
    squared["validation"] = of_other_examples(validation, inference, n)
    squared["memorization_and_data"] = of_mean(inference) + squared["validation"]
    if "held_out" in measured:
        n = len(measured["held_out"].values)
        held_out = of_other_examples(measured["held_out"], inference, n)
        squared["memorization"] = of_mean(inference) + held_out
        squared["data"] = held_out + squared["validation"]
    return {name: np.sqrt(value) for name, value in squared.items()}
