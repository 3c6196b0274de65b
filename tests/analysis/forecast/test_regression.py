"""Forecasting against enumeration and the planted truths."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from spectra_cli.analysis.forecast.regression import leave_one_out, prediction_interval, rank_correlation

THREE_BY_FOUR = tuple("aaaabbbbcccc")


def planted(generator, slope=-0.5, noise=0.05):
    x = generator.normal(size=12)
    base = np.repeat([0.0, 2.0, -1.0], 4)
    return x, base + slope * x + noise * generator.normal(size=12)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_the_p_value_is_the_share_of_all_orderings(n):
    generator = np.random.default_rng(n)
    x, y = generator.normal(size=(2, n))
    found = rank_correlation(x, y, ["a"] * n)
    everything = [spearmanr(np.array(order), y).statistic for order in permutations(x)]
    assert found.exact
    assert found.value == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert found.p_value == pytest.approx(np.mean(np.abs(everything) >= abs(found.value) - 1e-12), abs=1e-12)


@pytest.mark.parametrize(("n", "smallest"), [(4, 2 / 24), (5, 2 / 120), (6, 2 / 720)])
def test_a_perfect_ranking_has_the_smallest_p_value_there_is(n, smallest):
    found = rank_correlation(np.arange(n, dtype=float), -np.arange(n, dtype=float), ["a"] * n)
    assert (found.value, found.p_value) == (pytest.approx(-1.0), pytest.approx(smallest))


def test_families_are_ranked_apart():
    """Between families the response is anything; within each it falls."""
    x = np.array([1.0, 2, 3, 1, 2, 3])
    y = np.array([30.0, 20, 10, 3, 2, 1])
    found = rank_correlation(x, y, list("aaabbb"))
    assert found.value == pytest.approx(-1.0)
    assert found.p_value == pytest.approx(2 / 36)


def test_ranks_do_not_see_a_monotone_transform_and_tie_what_was_not_reached():
    generator = np.random.default_rng(0)
    x, y = planted(generator)
    assert rank_correlation(np.exp(x), y, THREE_BY_FOUR).value == rank_correlation(x, y, THREE_BY_FOUR).value
    y[[1, 2]] = math.inf
    late = y.copy()
    late[[1, 2]] = 1e9
    assert rank_correlation(x, y, THREE_BY_FOUR).value == rank_correlation(x, late, THREE_BY_FOUR).value


def test_sampled_orderings_agree_with_the_normal_limit():
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 40))
    y += 0.35 * x
    found = rank_correlation(x, y, ["a"] * 40)
    assert not found.exact
    # Spearman's t approximation at n = 40 is good to a few per cent of p
    assert found.p_value == pytest.approx(spearmanr(x, y).pvalue, rel=0.15, abs=1e-3)


def test_a_planted_slope_is_found():
    """Specs F8: y = a_family - 0.5 x + noise of 0.05 over 3 families of 4 runs."""
    found = leave_one_out(*_columns(planted(np.random.default_rng(2))), THREE_BY_FOUR)
    assert -0.6 <= float(found.coefficients[0]) <= -0.4
    assert found.predictive > 0.9
    assert found.stderrs[0] < 0.06


def _columns(pair):
    return pair[0][:, None], pair[1]


def test_a_shuffled_predictor_predicts_worse_than_the_mean():
    generator = np.random.default_rng(3)
    found = []
    for _ in range(200):
        x, y = planted(generator)
        found.append(leave_one_out(generator.permutation(x)[:, None], y, THREE_BY_FOUR).predictive)
    assert np.median(found) == pytest.approx(-0.14, abs=0.08)


def test_p_values_of_a_shuffled_predictor_are_uniform():
    generator = np.random.default_rng(4)
    p = [
        rank_correlation(generator.normal(size=6), generator.normal(size=6), ["a"] * 6).p_value
        for _ in range(300)
    ]
    # 300 draws: three standard errors of a share of one half, and of one tenth
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.09)
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.055)


def test_the_residuals_are_those_of_fits_without_the_run():
    x, y = planted(np.random.default_rng(5))
    found = leave_one_out(x[:, None], y, ["a"] * 12)
    for row in range(12):
        keep = np.arange(12) != row
        slope, start = np.polyfit(x[keep], y[keep], 1)
        assert found.residuals[row] == pytest.approx(y[row] - start - slope * x[row], abs=1e-10)


def test_what_the_runs_do_not_determine_has_no_fit():
    x, y = planted(np.random.default_rng(6))
    assert leave_one_out(x[:3, None], y[:3], ["a", "a", "b"]) is None
    assert leave_one_out(np.ones((12, 1)), y, THREE_BY_FOUR) is None


def test_the_interval_covers_new_runs_as_often_as_it_says():
    generator = np.random.default_rng(7)
    trials, covered = 500, 0
    for _ in range(trials):
        x, y = planted(generator, noise=0.3)
        new = float(generator.normal())
        truth = -0.5 * new + 0.3 * float(generator.normal())
        low, high = prediction_interval(x[:, None], y, THREE_BY_FOUR, at=np.array([new]), family="a")
        covered += low <= truth <= high
    # about the level in practice; never below 2 level - 1
    assert covered / trials == pytest.approx(0.8, abs=0.08)


def test_too_few_runs_give_an_interval_without_ends():
    x, y = np.arange(3.0), np.array([1.0, 2.0, 2.5])
    found = prediction_interval(x[:, None], y, ["a"] * 3, at=np.array([1.0]), family="a", level=0.9)
    assert found == (-math.inf, math.inf)


@pytest.mark.parametrize(("n", "level", "place"), [(9, 0.9, 1), (9, 0.8, 2), (14, 0.8, 3)])
def test_the_ends_of_the_interval_are_the_order_statistics_of_the_definition(n, level, place):
    """Jackknife+: the floor((1 - level)(n + 1))-th smallest low end, the ceil(level (n + 1))-th high end."""
    response = np.random.default_rng(n).normal(size=n)
    found = prediction_interval(
        np.empty((n, 0)), response, ["a"] * n, at=np.empty(0), family="a", level=level
    )
    means = np.array([np.delete(response, i).mean() for i in range(n)])
    errors = np.abs(response - means)
    expected = np.sort(means - errors)[place - 1], np.sort(means + errors)[n - place]
    assert found == pytest.approx(expected, abs=1e-12)
