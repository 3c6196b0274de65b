from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.types import Scalar
from spectra_cli.statistics.jackknife import (
    delete_one_block,
    scalar_standard_error,
    standard_error,
    standard_errors_of_values,
    with_replicates,
)
from spectra_cli.statistics.rank_decay import rank_decay_exponent
from spectra_cli.statistics.ranks import effective_rank, participation_ratio

STATISTICS = {
    "head": lambda rows: rank_decay_exponent(rows, 1, 10),
    "head_2": lambda rows: rank_decay_exponent(rows, 2, 10),
    "tail": lambda rows: rank_decay_exponent(rows, 11, 40),
    "rankme_cov": effective_rank,
    "top10": lambda rows: rows[..., :10].sum(-1) / rows.sum(-1),
}


def power_law_rows(rng, num_rows, width, exponent=1.0):
    return rng.standard_normal((num_rows, width)) * np.arange(1.0, width + 1) ** (-exponent / 2)


def exact_deletions(rows, block_sizes):
    """The slow reference: one covariance and one eigendecomposition a block left out."""
    ends = np.cumsum(block_sizes)
    spectra = []
    for end, size in zip(ends, block_sizes, strict=True):
        kept = np.delete(rows, np.s_[end - size : end], axis=0)
        spectra.append(np.linalg.eigvalsh(np.cov(kept.T))[::-1])
    return np.array(spectra)


def test_equal_blocks_give_the_textbook_formula():
    rng = np.random.default_rng(0)
    deleted = rng.standard_normal(16)
    expected = np.sqrt(15 / 16 * ((deleted - deleted.mean()) ** 2).sum())
    # The whole drops out of the formula; 1e-12 is rounding.
    for whole in (0.0, 3.0):
        assert standard_error(np.array([whole, *deleted]), (7,) * 16) == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12), st.integers(0, 2**32 - 1))
def test_unequal_blocks_give_the_error_of_a_weighted_mean(sizes, seed):
    # For a mean the pseudo-value of a block is the block's own mean y_b, so that
    # SE^2 = 1/B sum_b (y_b - mean)^2 / (h_b - 1) with the plain weighted mean.
    y = np.random.default_rng(seed).standard_normal(len(sizes))
    n = np.array(sizes, dtype=float)
    whole = (n * y).sum() / n.sum()
    deleted = [(np.delete(n, b) * np.delete(y, b)).sum() / np.delete(n, b).sum() for b in range(len(sizes))]
    expected = np.sqrt(((y - whole) ** 2 / (n.sum() / n - 1)).mean())
    # Rounding, amplified by h_b <= 100.
    assert standard_error(np.array([whole, *deleted]), tuple(sizes)) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


def test_one_block_or_an_undefined_replicate_has_no_error():
    assert np.isnan(standard_error(np.array([1.0]), ()))
    assert np.isnan(standard_error(np.array([1.0, 1.0]), (4,)))
    assert np.isnan(standard_error(np.array([1.0, 1.0, np.nan]), (4, 4)))


def test_deletions_follow_the_first_order_formula(spectrum_of):
    profile = np.array([[8.0, 1.0], [0.0, 1.5], [1.0, 0.5]])
    spectrum = spectrum_of(profile.mean(axis=0), block_profile=profile, block_sizes=(5, 5, 5))
    # (B lambda - profile) / (B - 1): [(9-8)/2, (3-1)/2] = [.5, 1], sorted again.
    np.testing.assert_allclose(delete_one_block(spectrum), [[1.0, 0.5], [4.5, 0.75], [4.0, 1.25]], rtol=1e-12)


def test_deletions_below_zero_become_zero(spectrum_of):
    spectrum = spectrum_of(np.array([2.0, 1.0]), block_profile=[[2.0, 2.5], [2.0, 0.0]], block_sizes=(2, 2))
    np.testing.assert_array_equal(delete_one_block(spectrum)[0], [2.0, 0.0])


def test_without_a_profile_there_are_no_replicates(spectrum_of):
    spectrum = spectrum_of(np.array([2.0, 1.0]))
    assert delete_one_block(spectrum).shape == (0, 2)
    np.testing.assert_array_equal(with_replicates(spectrum), [[2.0, 1.0]])


def test_singular_values_are_deleted_on_the_eigenvalue_scale(spectrum_of):
    profile = np.array([[5.0, 1.0], [3.0, 1.0]])
    of_eigenvalues = spectrum_of([4.0, 1.0], block_profile=profile, block_sizes=(3, 3))
    of_singular = spectrum_of([4.0, 1.0], "gradient_matrix", block_profile=profile, block_sizes=(3, 3))
    np.testing.assert_allclose(with_replicates(of_singular), with_replicates(of_eigenvalues), rtol=1e-15)


@pytest.mark.parametrize("block_sizes", [(128,) * 16, (192,) * 8 + (64,) * 8])
def test_the_profile_reproduces_exact_deletions(measured, block_sizes):
    rng = np.random.default_rng(1)
    ratios = {name: [] for name in STATISTICS}
    for _ in range(6):
        rows = power_law_rows(rng, sum(block_sizes), 96)
        exact = np.concatenate(
            [np.linalg.eigvalsh(np.cov(rows.T))[None, ::-1], exact_deletions(rows, block_sizes)]
        )
        ours = with_replicates(measured(rows, block_sizes))
        for name, statistic in STATISTICS.items():
            ratios[name].append(
                standard_error(statistic(ours), block_sizes) / standard_error(statistic(exact), block_sizes)
            )
    for name, ratio in ratios.items():
        # Specs D6b: 1.00-1.08 for independent rows at n/d = 16 to 64 (here 21), mean of 20 repeats;
        # 0.03 more on each side for 6 repeats and the narrower width.
        assert 0.97 <= np.mean(ratio) <= 1.11, (name, ratio)


@pytest.mark.parametrize("block_sizes", [(64,) * 16, (96,) * 8 + (32,) * 8])
def test_the_error_is_the_spread_over_fresh_samples(measured, block_sizes):
    rng = np.random.default_rng(2)
    values = {name: [] for name in STATISTICS}
    errors = {name: [] for name in STATISTICS}
    for _ in range(200):
        rows = with_replicates(measured(power_law_rows(rng, 1024, 64), block_sizes))
        for name, statistic in STATISTICS.items():
            per_row = statistic(rows)
            values[name].append(per_row[0])
            errors[name].append(standard_error(per_row, block_sizes))
    for name in STATISTICS:
        ratio = np.sqrt(np.mean(np.square(errors[name]))) / np.std(values[name], ddof=1)
        # A spread over 200 draws is known to 1/sqrt(2 * 199) = 5 %, the mean of 200 squared errors with
        # 15 degrees of freedom each to 1.3 %: 3 sigma is 16 %.
        assert 0.97 * 0.84 <= ratio <= 1.31 * 1.16, (name, ratio)


def test_errors_fall_with_the_root_of_the_samples(measured):
    rng = np.random.default_rng(3)
    few, many = (
        standard_error(
            participation_ratio(with_replicates(measured(power_law_rows(rng, n, 32), (n // 16,) * 16))),
            (1,) * 16,
        )
        for n in (256, 256 * 64)
    )
    # Errors fall as 1 / sqrt(n): by 8; each is known to 1/sqrt(2 * 15) = 18 %, 3 sigma of the ratio 77 %.
    assert 8 / 1.77 <= few / many <= 8 * 1.77


def test_scalars_bring_their_own_replicates():
    scalar = Scalar(
        name="probe_loss",
        site=None,
        measurement="loss",
        value=2.0,
        unit="nats/token",
        delete_one_block=np.array([2.5, 2.0, 1.5]),
        block_sizes=(4, 4, 4),
    )
    # The mean of 1, 2, 3 with standard error 1 / sqrt(3).
    assert scalar_standard_error(scalar) == pytest.approx(1 / np.sqrt(3), rel=1e-12)


def test_each_value_of_a_spectrum_has_the_error_of_the_mean_of_its_blocks(spectrum_of):
    profile = np.array([[20.0, 1.0], [21.0, 2.0], [22.0, 3.0]])
    blocks = {"block_profile": profile, "block_sizes": (4, 4, 4)}
    # both are means of three numbers one apart: 1 / sqrt(3)
    found = standard_errors_of_values(spectrum_of([21.0, 2.0], **blocks))
    np.testing.assert_allclose(found, [3**-0.5, 3**-0.5], rtol=1e-12)
    found = standard_errors_of_values(spectrum_of([21.0, 2.0], "gradient_matrix", **blocks))
    for error, deleted in zip(found, ([21.5, 21.0, 20.5], [2.5, 2.0, 1.5]), strict=True):
        without = np.sqrt(deleted)
        assert error == pytest.approx(np.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum()), rel=1e-12)
    assert np.isnan(standard_errors_of_values(spectrum_of([21.0, 2.0]))).all()
