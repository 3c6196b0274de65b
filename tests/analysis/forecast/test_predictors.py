"""What the spectrum adds to the baselines, on planted tables."""

import math

import numpy as np
import pytest

from spectra_cli.analysis.forecast.predictors import compare_predictors, gain, leave_one_family_out

FAMILIES = tuple("aaaabbbbcccc")


def by_name(errors):
    return {error.name: error for error in errors}


def test_every_predictor_stands_beside_the_others():
    rng = np.random.default_rng(0)
    x, batch = rng.normal(size=(2, 12))
    errors = compare_predictors(x, -0.5 * x + 0.05 * rng.normal(size=12), FAMILIES, {"batch": batch[:, None]})
    assert [e.name for e in errors] == ["mean", "batch", "spectrum", "spectrum + batch"]
    found = by_name(errors)
    assert found["mean"].predictive == pytest.approx(0.0, abs=1e-12)
    assert found["spectrum"].predictive > 0.9
    assert found["batch"].predictive < 0.5
    assert gain(errors).value > 0.4


def test_the_error_is_the_root_mean_square_of_what_was_left_out():
    y = np.array([1.0, 2.0, 6.0])
    (mean,) = compare_predictors(y, y, ("a",) * 3, {})[:1]
    left_out = [1.0 - 4.0, 2.0 - 3.5, 6.0 - 1.5]
    assert mean.error == pytest.approx(math.sqrt(sum(e**2 for e in left_out) / 3), abs=1e-12)


def test_a_spectrum_that_only_repeats_the_batch_adds_nothing():
    """Specs F8: x = f(batch) only: the gain over the batch is about zero."""
    gains = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        batch = rng.normal(size=12)
        x = 0.8 * batch + 0.05 * rng.normal(size=12)
        y = 1.5 * batch + 0.3 * rng.normal(size=12)
        gains.append(gain(compare_predictors(x, y, FAMILIES, {"batch": batch[:, None]})).value)
    # one more slope to fit costs a little: below zero, and by less than a tenth
    assert -0.1 < np.median(gains) <= 0.0


def test_what_cannot_be_fitted_says_why():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 4))
    found = by_name(compare_predictors(x, y, ("a",) * 4, {"many": rng.normal(size=(4, 3))}))
    assert math.isnan(found["many"].predictive)
    assert "4 runs" in found["many"].reason
    assert gain(tuple(found.values())).baseline == "mean"


def test_nothing_to_compare_has_no_gain():
    assert math.isnan(gain(compare_predictors(np.ones(5), np.arange(5.0), ("a",) * 5, {})).value)


def test_a_slope_that_families_share_carries_over_and_one_that_they_do_not_does_not():
    x = np.tile([-1.0, 0.0, 1.0], 3)
    families = tuple("aaabbbccc")
    assert leave_one_family_out(x, -2 * x, families) == pytest.approx(1.0)
    own = np.repeat([1.0, 1.0, -2.0], 3)
    assert leave_one_family_out(x, own * x, families) < 0
    assert math.isnan(leave_one_family_out(x[:6], x[:6], families[:6]))


def test_the_gain_has_the_jackknife_error_of_its_terms():
    rng = np.random.default_rng(3)
    x, batch = rng.normal(size=(2, 12))
    errors = compare_predictors(x, -0.5 * x + 0.3 * rng.normal(size=12), FAMILIES, {"batch": batch[:, None]})
    found, residuals = gain(errors), {e.name: np.array(e.residuals) for e in errors}
    joined = "spectrum" if found.baseline == "mean" else f"spectrum + {found.baseline}"
    without, with_it = residuals[found.baseline], residuals[joined]
    left_out = [
        ((np.delete(without, i) ** 2).sum() - (np.delete(with_it, i) ** 2).sum())
        / (np.delete(residuals["mean"], i) ** 2).sum()
        for i in range(12)
    ]
    assert found.stderr == pytest.approx(np.sqrt(11 / 12 * np.sum((left_out - np.mean(left_out)) ** 2)))


def test_a_spectrum_of_noise_gains_nothing_beyond_the_error():
    """Over 200 tables of noise the gain passes its error in 16 % at most if it were Gaussian and unbiased."""
    beyond = 0
    for seed in range(200):
        x, y = np.random.default_rng(seed).normal(size=(2, 12))
        found = gain(compare_predictors(x, y, FAMILIES, {}))
        beyond += found.value > found.stderr
    assert beyond / 200 < 0.16
