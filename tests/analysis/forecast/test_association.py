"""Associations against scipy and closed forms."""

import math

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr

from spectra_cli.analysis.forecast.association import kendall, partial_rank_correlation, pearson, reliability

ONE = ["a"] * 9


@pytest.fixture
def pair():
    return np.random.default_rng(0).normal(size=(2, 9)).round(1)


def test_one_family_is_scipys(pair):
    found, theirs = pearson(*pair, ONE), pearsonr(*pair)
    assert found.value == pytest.approx(theirs.statistic, abs=1e-12)
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert kendall(*pair, ONE) == pytest.approx(kendalltau(*pair).statistic, abs=1e-12)


def test_pairs_of_two_families_do_not_count():
    x, y = np.array([1.0, 2, 1, 2]), np.array([1.0, 2, 20, 10])
    assert kendall(x, y, list("aabb")) == 0.0
    assert kendall(x, y, list("aacc")) == kendall(x, y, list("aabb"))


def test_a_familys_level_does_not_count(pair):
    families = list("aaaabbbbb")
    shifted = pair[1] + np.where(np.array(families) == "b", 100.0, 0.0)
    assert pearson(pair[0], shifted, families).value == pytest.approx(
        pearson(*pair, families).value, abs=1e-10
    )


def test_a_run_that_never_arrives_is_tied_last():
    x, y = np.arange(4.0), np.array([1.0, 2.0, math.inf, math.inf])
    assert kendall(x, y, ["a"] * 4) == pytest.approx(kendalltau(x, [1, 2, 3, 3]).statistic, abs=1e-12)


def test_too_few_runs_have_no_interval():
    found = pearson(np.array([1.0, 2, 4]), np.array([1.0, 3, 2]), ["a"] * 3)
    assert math.isfinite(found.value)
    assert math.isnan(found.low)


def test_what_does_not_vary_has_no_correlation(pair):
    assert math.isnan(pearson(np.ones(9), pair[1], ONE).value)
    assert math.isnan(kendall(np.ones(9), pair[1], ONE))


def test_a_control_that_drives_both_leaves_nothing():
    """x and y are both the control plus noise of their own: given it, what is left is those noises."""
    rng = np.random.default_rng(1)
    control = rng.normal(size=400)
    x, y = control + rng.normal(size=400), control + rng.normal(size=400)
    raw = partial_rank_correlation(x, y, rng.normal(size=(400, 1)), ["a"] * 400)
    given = partial_rank_correlation(x, y, control[:, None], ["a"] * 400)
    assert raw == pytest.approx(0.5, abs=0.1)
    # standard error of a correlation of nothing: 1 / sqrt(400)
    assert abs(given) < 0.15


def test_a_control_with_the_predictors_ranks_leaves_no_number(pair):
    assert math.isnan(partial_rank_correlation(*pair, np.exp(pair[0])[:, None], ONE))
    assert math.isnan(partial_rank_correlation(*pair[:, :3], pair[0, :3, None], ["a"] * 3))


def test_noise_shrinks_a_slope_by_the_reliability():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=20_000)
    seen = truth + 0.5 * rng.normal(size=20_000)
    families = ["a"] * 20_000
    shrunk = np.polyfit(seen, truth, 1)[0]
    # a ratio of variances over 20,000 draws: 1 %
    assert reliability(seen, np.full(20_000, 0.5), families) == pytest.approx(shrunk, rel=0.03)
    assert math.isnan(reliability(seen, np.full(20_000, np.nan), families))
