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
    of_both = own.values.mean() - measured.values.mean()
    other_fit, other = random.normal(size=N), random.normal(size=n)
    from_fit = errors.of_timing_of_another_draw(batches(other), N)
    mean, of_pass = measured.values.mean(), training.values.mean()
    return {
        "mean": (mean - inference.mean(), errors.of_mean(measured)),
        "luck": (luck.mean(), drawn),
        "paired": (
            of_both - (statistics - inference).mean(),
            errors.of_paired_means(own, measured),
        ),
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
    far = sum(
        abs(values.mean() - 1 / 200)
        > 2 * np.sqrt(errors.of_other_examples(batches(values), training, 10))
        for values in wrong
    )
    assert (wrong.mean(axis=1) == 0).sum() > 40 and far <= 0.05 * 400
    # Batches of half the examples vary twice as much.
    halves = batches(np.full(10, 0.5))._replace(examples=16)
    expected = 2 * errors.variance(training.values, training.losses) / 10
    assert errors.of_other_examples(halves, training, 10) == pytest.approx(expected)
    assert np.isnan(errors.of_other_examples(batches(np.ones(1)), training, 1))


def of_parts(share=1.0, validated=1.0, paired=True, other_draw=False, **measured):
    values = {name: batches(np.array(x), share) for name, x in measured.items()}
    validation = batches(np.array([0.3, 0.5, 0.1]), validated)
    return errors.errors_of_parts(values, validation, 3, other_draw, paired)


def test_each_part_has_the_formula_of_what_differs():
    training, inference = [0.5, 0.9, 0.6], [0.4, 0.5, 0.6]
    found = of_parts(training_mode=training, inference_mode=inference)
    luck = 2.2 * np.std([0.1, 0.4, 0.0], ddof=1) / np.sqrt(3)
    validation = 2.2 * 0.2 / np.sqrt(3)
    assert found["regularization"] == pytest.approx(luck)
    assert found["timing"] == pytest.approx(np.sqrt(2) * luck)  # all are measured
    assert found["validation"] == pytest.approx(validation)
    assert found["memorization_and_data"] == pytest.approx(validation)
    assert "data" not in found and "augmentation_and_weights" not in found
    # Of a sample of the validation, the mean of all of which is reported.
    of_half = of_parts(training_mode=training, inference_mode=inference, validated=0.5)
    assert of_half["validation"] == pytest.approx(validation * np.sqrt(1 / 2))
    held_out, statistics = [0.2, 0.8, 0.5], [0.4, 0.6, 0.6]
    found = of_parts(
        training_mode=training,
        batch_statistics=statistics,
        inference_mode=inference,
        held_out=held_out,
    )
    # Which examples meet in a batch is no luck, as the batches are those of `fit`.
    luck = 2.2 * np.std([0.1, 0.3, 0.0], ddof=1) / np.sqrt(3)
    assert found["regularization"] == pytest.approx(luck)
    assert found["timing"] == pytest.approx(np.sqrt(2) * luck)
    assert found["batch_normalization"] == 0
    # The training data are all there are; held-out and validation data are draws.
    of_held_out = 2.2 * np.std(held_out, ddof=1) / np.sqrt(3)
    assert found["memorization"] == pytest.approx(of_held_out)
    assert found["data"] == pytest.approx(np.hypot(of_held_out, validation))


def test_weights_and_other_data_have_the_luck_of_what_they_are():
    training, inference = np.array([0.5, 0.9, 0.6]), np.array([0.4, 0.5, 0.6])
    modes = {"training_mode": training, "inference_mode": inference}
    plain = of_parts(**modes)["timing"]
    doubled = of_parts(fit_data=2 * training, **modes)
    assert doubled["timing"] == pytest.approx(2 * plain)
    # Paired are the same batches; of others both means' errors add up.
    paired = 2.2 * np.std(training, ddof=1) / np.sqrt(3)
    assert doubled["augmentation_and_weights"] == pytest.approx(paired)
    other = of_parts(fit_data=[*training, 0.7], share=0.0, paired=False, **modes)
    both = [errors.of_draw(batches(x)) for x in (training, np.append(training, 0.7))]
    assert other["augmentation_and_weights"] == pytest.approx(np.sqrt(sum(both)))
    drawn = of_parts(other_draw=True, **modes)["timing"]
    assert drawn == pytest.approx(np.sqrt(2 * both[0]))  # s²/3 + s²/3


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
