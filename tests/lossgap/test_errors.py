"""Each formula against the spread of many draws, without a model."""

import numpy as np
import pytest

from pyimagesearch.lossgap import errors
from pyimagesearch.lossgap.errors import Batches
from pyimagesearch.lossgap.metrics import pseudo_values, values_of_batches

DRAWS = 1500


def batches(values, share=0.0):
    """Batches of a metric that is the loss itself."""
    return Batches(values, values, share, 32)


@pytest.fixture
def random():
    return np.random.default_rng(1)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 8, 15, 40])
def test_two_errors_hold_95_percent_of_few_batches_too(n, random):
    draws = random.normal(size=(4000, n))
    variances = [errors.of_draw(batches(draw)) for draw in draws]
    inside = np.abs(draws.mean(axis=1)) <= 2 * np.sqrt(variances)
    assert inside.mean() == pytest.approx(0.95, abs=0.015)


def differences_and_variances(random, inference, statistics, n):
    """By how much a draw of n batches is wrong, and the square that each formula has.

    Of all batches in two modes that draw nothing; in training mode there is luck, too.
    """
    N = len(inference)
    sample, share = random.choice(N, n, replace=False), n / N
    luck = random.normal(0, 2, n)
    training = batches(statistics[sample] + luck, share)
    own = batches(statistics[sample], share)
    measured = batches(inference[sample], share)
    drawn = errors.of_luck(training, own)
    of_fit = (statistics + random.normal(0, 2, N)).mean()
    both, of_both = (
        (statistics - inference).mean(),
        (own.values - measured.values).mean(),
    )
    other_fit, other = random.normal(size=N), random.normal(size=n)
    from_fit = errors.of_timing_of_another_draw(batches(other), N)
    mean, of_pass = measured.values.mean(), training.values.mean()
    return {
        "mean": (mean - inference.mean(), errors.of_mean(measured)),
        "luck": (luck.mean(), drawn),
        "paired": (of_both - both, errors.of_paired_means(own, measured)),
        "pass": (of_pass - statistics.mean(), errors.of_pass(training, drawn)),
        "timing": (of_fit - of_pass, errors.of_timing(training, drawn)),
        "other timing": (other_fit.mean() - other.mean(), from_fit),
    }


@pytest.mark.parametrize("n", [60, 150, 200])
def test_each_formula_has_the_spread_of_many_draws(n, random):
    modes = random.normal(0, 1, (2, 200))
    draws = [differences_and_variances(random, *modes, n) for _ in range(DRAWS)]
    for name in draws[0]:
        differences, variances = np.transpose([draw[name] for draw in draws])
        error = np.sqrt(variances.mean())
        assert differences.std() == pytest.approx(error, rel=0.06, abs=1e-9), name
    # All there is has no error, and one batch may be all.
    of_one = [batches(mode[:1], 1.0) for mode in modes]
    assert errors.of_mean(of_one[0]) == errors.of_paired_means(*of_one) == 0


def test_rare_events_that_a_validation_misses_are_in_its_error(random):
    wrong = (random.random((400, 10, 32)) < 1 / 200).mean(axis=2)
    training = batches((random.random((100, 32)) < 1 / 200).mean(axis=1))
    means = wrong.mean(axis=1)
    squared = [errors.of_other_examples(batches(x), training, 10) for x in wrong]
    far = np.abs(means - 1 / 200) > 2 * np.sqrt(squared)
    assert np.sum(means == 0) > 40 and np.sum(far) <= 0.05 * 400
    # Batches of half the examples vary twice as much.
    halves = batches(np.full(10, 0.5))._replace(examples=16)
    expected = 2 * errors.variance(training.values, training.losses) / 10
    assert errors.of_other_examples(halves, training, 10) == pytest.approx(expected)
    assert np.isnan(errors.of_other_examples(batches(np.ones(1)), training, 1))


def errors_of_parts(measured, validation, other_draw=False, paired=True):
    found = errors.errors_of_parts(measured, validation, 6, other_draw, paired)
    return {name: error**2 for name, error in found.items()}


def test_each_part_has_the_formula_of_what_differs(random):
    training, statistics, inference, held_out, validation = (
        batches(values, share=0.5) for values in random.random((5, 3))
    )
    modes = {"training_mode": training, "inference_mode": inference}
    luck, of_training = errors.of_luck(training, inference), errors.of_mean(inference)
    # The mean is of six batches of the validation, of which three are known.
    validated = errors.of_other_examples(validation, inference, 6)
    expected = {"timing": errors.of_timing(training, luck), "regularization": luck}
    expected |= {"validation": validated}
    expected |= {"memorization_and_data": of_training + validated}
    assert errors_of_parts(modes, validation) == pytest.approx(expected)
    # Which examples meet in a batch is no luck, as the batches are those of `fit`.
    luck = errors.of_luck(training, statistics)
    expected |= {"timing": errors.of_timing(training, luck), "regularization": luck}
    held = errors.of_other_examples(held_out, inference, 3)  # a draw, too
    expected |= {"memorization": of_training + held, "data": held + validated}
    expected["batch_normalization"] = errors.of_paired_means(statistics, inference)
    every = modes | {"batch_statistics": statistics, "held_out": held_out}
    assert errors_of_parts(every, validation) == pytest.approx(expected)


def test_weights_and_other_data_have_the_luck_of_what_they_are(random):
    training, inference = (batches(x, share=0.5) for x in random.random((2, 3)))
    modes = {"training_mode": training, "inference_mode": inference}
    doubled = training._replace(values=2 * training.values)
    luck = errors.of_luck(training, inference)
    weighted = errors_of_parts(modes | {"fit_data": doubled}, inference)
    assert weighted["timing"] == pytest.approx(errors.of_timing(doubled, 4 * luck))
    # Paired are the same batches; of others both means' errors add up.
    paired = errors.of_luck(doubled, training)
    assert weighted["augmentation_and_weights"] == pytest.approx(paired)
    apart = errors_of_parts(modes | {"fit_data": doubled}, inference, paired=False)
    both = errors.of_pass(doubled, 4 * luck) + errors.of_pass(training, luck)
    assert apart["augmentation_and_weights"] == pytest.approx(both)
    drawn = errors_of_parts(modes, inference, other_draw=True)
    of_two = errors.of_timing_of_another_draw(training, 6)
    assert drawn["timing"] == pytest.approx(of_two)


def test_a_few_accuracies_that_are_alike_by_luck_have_no_error():
    losses, alike = np.random.default_rng(0).random(9), np.full(9, 0.75)
    for values in (alike, np.zeros(9)):
        assert np.isnan(errors.variance(values, losses))
    assert errors.variance(np.full(10, 0.75), np.append(losses, 1)) == 0  # enough
    assert errors.variance(alike, alike) == errors.variance(*np.zeros((2, 1))) == 0
    for few in ([], [0.5]):
        assert np.isnan(errors.of_draw(batches(np.array(few))))


def test_single_batches_come_from_the_means_until_each():
    values = np.array([3.0, 1.0, 5.0])
    means = np.cumsum(values) / [1, 2, 3]
    np.testing.assert_allclose(values_of_batches(means), values)
    assert np.isnan(values_of_batches([1.0, np.inf])[1])


def test_a_means_pseudo_values_are_its_batches():
    values = np.array([3.0, 1.0, 5.0, 2.0])
    without = [np.delete(values, i).mean() for i in range(4)]
    np.testing.assert_allclose(pseudo_values(values.mean(), without), values)
