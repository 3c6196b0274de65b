"""Noise of a norm: the t-test for one number, the right rate for many, whatever their correlations."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from spectra_cli.analysis.compare.distances.norm_noise import (
    absolute_sum_noise,
    block_deviations,
    squared_norm_noise,
)
from spectra_cli.statistics.jackknife import standard_error

B = 16


def without_each(blocks):
    """(1 + B, K): the mean over blocks, then without each block."""
    return np.vstack([blocks.mean(0), (blocks.sum(0) - blocks) / (len(blocks) - 1)])


def test_deviations_are_the_jackknife_of_each_entry_also_for_unequal_blocks():
    generator = np.random.default_rng(0)
    rows, sizes = generator.normal(size=(6, 3)), (3, 1, 4, 2, 5)
    deviations = block_deviations(rows, sizes)
    expected = [standard_error(rows[:, k], sizes) for k in range(3)]
    np.testing.assert_allclose(np.sqrt((deviations**2).sum(0)), expected, rtol=1e-12)


@pytest.mark.parametrize("noise_of", [squared_norm_noise, absolute_sum_noise])
def test_a_distance_made_of_one_number_is_the_t_test(noise_of):
    blocks = np.random.default_rng(1).normal(0.4, size=(B, 1))
    noise = noise_of(block_deviations(without_each(blocks), (1,) * B), B - 1)
    expected = ttest_1samp(blocks[:, 0], 0.0).pvalue
    assert noise.p_value(abs(float(blocks.mean()))) == pytest.approx(expected, rel=1e-10)


def test_the_quantile_is_where_the_p_value_is_one_in_twenty():
    blocks = np.random.default_rng(2).normal(size=(B, 12))
    noise = squared_norm_noise(block_deviations(without_each(blocks), (1,) * B), B - 1)
    assert noise.p_value(noise.quantile()) == pytest.approx(0.05, rel=1e-9)


def test_no_noise_lets_nothing_but_zero_through():
    noise = squared_norm_noise(np.zeros((B, 3)), B - 1)
    assert (noise.p_value(0.0), noise.p_value(1e-12), noise.quantile()) == (1.0, 0.0, 0.0)


# what the entries of the vector have in common: nothing, everything, a decaying spectrum
COVARIANCES = {
    "independent": np.eye(20),
    "one direction": np.full((20, 20), 1.0),
    "decaying": np.diag(np.arange(1.0, 21.0) ** -1.5),
    "cumulative": np.minimum.outer(np.arange(1.0, 21.0), np.arange(1.0, 21.0)),
}


@pytest.mark.parametrize("shape", COVARIANCES)
@pytest.mark.parametrize("norm", ["root of squares", "absolute sum"])
def test_pure_noise_passes_for_a_difference_in_at_most_one_case_in_twenty(shape, norm):
    generator = np.random.default_rng(3)
    factor = np.linalg.cholesky(COVARIANCES[shape] + 1e-12 * np.eye(20))
    trials, wrong = 2000, 0
    for _ in range(trials):
        rows = without_each(generator.normal(size=(B, 20)) @ factor.T)
        deviations = block_deviations(rows, (1,) * B)
        if norm == "absolute sum":
            wrong += absolute_sum_noise(deviations, B - 1).p_value(np.abs(rows[0]).sum()) < 0.05
        else:
            wrong += squared_norm_noise(deviations, B - 1).p_value(np.linalg.norm(rows[0])) < 0.05
    # three standard errors of 2,000 trials above the rate aimed at; a lower bound where it is exact
    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    if norm == "root of squares":
        assert wrong / trials >= 0.03
