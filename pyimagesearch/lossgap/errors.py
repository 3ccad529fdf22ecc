"""The standard errors of the parts: one function a formula.

Functions named `of_...` return a *squared* standard error, as these add up; `nan` where
it is unknown, 0 only where nothing was drawn. `errors_of_parts` says which a part has.
"""

from collections import namedtuple

import numpy as np

# What was measured of a metric: `values`, those of the single batches, and `losses`, the
# losses of the same batches, arrays of the shape `(n,)`; and `share`, `n / N` of the `N`
# batches that there are, or 0 of another draw of the data than `fit`'s.
Batches = namedtuple("Batches", "values losses share", defaults=[0.0])

# Half of Student's t(0.975, n - 1), by n; in between it is interpolated.
HALF_OF_T = {2: 6.4, 3: 2.2, 4: 1.6, 5: 1.4, 6: 1.3, 7: 1.2, 10: 1.1, 60: 1.0}

# Fewer batches than these may all have one accuracy by luck.
FEW = 10
# Values that differ by no more than this part of them are alike but for rounding.
ROUNDING = 1e-4


def pseudo_values(result, results_without):
    """The pseudo-values of the jackknife: `n * result - (n - 1) * result without i`.

    They take the place of single batches' values for a metric that is no mean over
    examples, but computed from sums: an AUC, precision, an F1 score. It holds where a
    batch changes the result little and smoothly, and not where this jumps.

    Source: Quenouille 1956, Tukey 1958; Efron, The Jackknife, the Bootstrap and Other
    Resampling Plans, 1982, chapter 2.
    """
    n = len(results_without)
    return n * result - (n - 1) * np.array(results_without, float)


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


def finite_population_correction(share):
    """`1 - n / N`: of batches drawn without replacement, all of them leave no error.

    Source: Cochran, Sampling Techniques, 2.6.
    """
    return 1 - share


def of_draw(batches):
    """Of a mean of n batches out of endlessly many: `s²/n`.

    It holds for batches in a random order; of sorted data it is too large.
    """
    n = len(batches.values)
    return variance(batches.values, batches.losses) / n if n else np.nan


def of_mean(batches):
    """Of a mean whose pass draws nothing, as in inference mode: `(1 - n / N) s²/n`."""
    if batches.share == 1:
        return 0.0  # of a single batch, too, whose variance is unknown
    return finite_population_correction(batches.share) * of_draw(batches)


def of_paired_difference(batches, others):
    """Of two modes on the same batches: `d²/n`, from the variance of the differences.

    What the batches have in common cancels. What is left is what each pass draws anew,
    as dropout is, and so there is no correction for finite data; and how differently
    the batches react to the mode, which makes it an upper estimate.
    """
    differences = Batches(
        batches.values - others.values, batches.losses - others.losses
    )
    return of_draw(differences)


def of_pass(batches, drawn):
    """Of a mean whose pass draws dropout: `(1 - n / N) s²/n + (n / N) d²/n`.

    `s²` consists of the examples' variance, `s² - d²`, of which finite data leave less,
    and of the luck of the pass, `d²`, of which all is left. `drawn` is `d²/n`.
    """
    luck = batches.share * drawn if batches.share else 0.0
    return of_mean(batches) + luck


def of_timing(batches, drawn, batches_of_fit):
    """Of `fit`'s epoch, N batches, against a pass over n of them afterwards.

    `(1 - n / N) s²/n + 2 (n / N) d²/n`, as `fit`'s epoch is a pass with luck of its own,
    `d²/N`; against another draw of the data `s²/n + s²/N`. The `s²` of `fit`'s epoch is
    taken to be that after it.
    """
    if batches.share:
        return of_pass(batches, drawn) + batches.share * drawn
    return of_draw(batches) * (1 + len(batches.values) / batches_of_fit)


def of_first_batches(batches, first):
    """Of `fit`'s first k batches against n others: `s²/k + s²/n - s²/N`.

    Two samples of N batches differ by `s²/k + s²/n - 2 s²/N`, and by the luck of their
    passes, `2 d²/N` more: an upper estimate where that is at most half of `s²`.
    """
    n = len(batches.values)
    overlap = finite_population_correction(batches.share)
    return of_draw(batches) * (n / first + overlap)


def of_other_data(batches, others, drawn):
    """Of data as `fit` has them against plain ones, both in training mode.

    As many batches are the same examples in one order, and paired: `d²/n`. Of other
    numbers (oversampled data, for example) the errors of both passes add up. `drawn` is
    that of `others`.
    """
    if len(batches.values) == len(others.values):
        return of_paired_difference(batches, others)
    drawn_as_fit = drawn_of_other(batches, others, drawn)
    return of_pass(batches, drawn_as_fit) + of_pass(others, drawn)


def drawn_of_other(batches, others, drawn):
    """`d²/n` of other data, in proportion to `s²/n`: weights of 2 make both four times."""
    return drawn if batches is others else drawn * of_draw(batches) / of_draw(others)


def errors_of_parts(measured, validation, batches_of_fit):
    """The standard errors of all parts, and of the validation's own mean.

    Memorization and data compare sets of examples that share none: both means' variances
    add up. The training data count as all there are, held-out and validation data as
    draws. (Both parts share the error of the held-out data, with opposite signs.)

    Args:
        measured: the `Batches` of each measurement, by its name, in their order.
        validation: those of the validation.
        batches_of_fit: how many `fit` has in an epoch.

    Returns:
        Errors in the unit of the metric, by the names of `PARTS` and `validation`.
    """
    training, inference = measured["training_mode"], measured["inference_mode"]
    as_fit = next(iter(measured.values()))
    drawn = of_paired_difference(training, inference)
    drawn_as_fit = drawn_of_other(as_fit, training, drawn)

    squared = {"timing": of_timing(as_fit, drawn_as_fit, batches_of_fit)}
    if "fit_data" in measured:
        squared["augmentation_and_weights"] = of_other_data(as_fit, training, drawn)
    if "batch_statistics" in measured:
        statistics = measured["batch_statistics"]
        squared["regularization"] = of_paired_difference(training, statistics)
        squared["batch_normalization"] = of_paired_difference(statistics, inference)
    else:
        squared["regularization"] = drawn
    if "held_out" in measured:
        held_out = of_draw(measured["held_out"])
        squared["memorization"] = of_mean(inference) + held_out
        squared["data"] = held_out + of_draw(validation)
    squared["memorization_and_data"] = of_mean(inference) + of_draw(validation)
    squared["validation"] = of_draw(validation)
    return {name: np.sqrt(value) for name, value in squared.items()}
