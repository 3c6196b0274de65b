from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.statistics.rank_decay import fit_details, rank_decay_exponent, window

WINDOWS = [(1, 10), (2, 10), (30, 150), (50, 200), (11, 33)]


def power_law(exponent, width=768):
    return np.arange(1.0, width + 1) ** -exponent


def noisy(seed, width=300):
    rng = np.random.default_rng(seed)
    return np.sort(power_law(1.2, width) * np.exp(0.2 * rng.standard_normal(width)))[::-1]


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize(("lo", "hi"), WINDOWS)
def test_an_exact_power_law_gives_its_exponent(exponent, lo, hi):
    assert rank_decay_exponent(power_law(exponent), lo, hi) == pytest.approx(exponent, abs=1e-12)


@pytest.mark.parametrize(("lo", "hi"), WINDOWS)
def test_the_fit_is_least_squares(lo, hi):
    eigenvalues = noisy(0)
    x, y = np.log(np.arange(lo, hi + 1)), np.log(eigenvalues[lo - 1 : hi])
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - slope * x - intercept
    (bend, *_), covariance = np.polyfit(x, y, 2, cov=True)
    details = fit_details(eigenvalues, lo, hi)
    # polyfit's own conditioning: 1e-9.
    assert rank_decay_exponent(eigenvalues, lo, hi) == pytest.approx(-slope, rel=1e-9)
    assert details["intercept"] == pytest.approx(intercept, rel=1e-9)
    assert details["r_squared"] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-9)
    assert details["max_abs_residual"] == pytest.approx(np.abs(residual).max(), rel=1e-9)
    assert details["curvature"] == pytest.approx(bend, rel=1e-8)
    assert details["curvature_t"] == pytest.approx(bend / np.sqrt(covariance[0, 0]), rel=1e-8)
    assert (details["window_lo"], details["window_hi"], details["num_points"]) == (lo, hi, hi - lo + 1)


@pytest.mark.parametrize(("lo", "hi", "num_fits"), [(30, 150, 25), (50, 200, 25), (80, 240, 20)])
def test_the_spread_over_windows_is_that_of_25_fits(lo, hi, num_fits):
    eigenvalues = noisy(1)
    factors = (0.7, 0.85, 1.0, 1.2, 1.4)
    fits = [rank_decay_exponent(eigenvalues, round(lo * a), round(hi * b)) for a in factors for b in factors]
    fits = [fit for fit in fits if np.isfinite(fit)]
    details = fit_details(eigenvalues, lo, hi)
    assert len(fits) == num_fits == details["window_sd_fits"]
    assert details["window_sd"] == pytest.approx(np.std(fits), rel=1e-9)


def test_doubling_the_first_eigenvalue_moves_the_head_by_its_weight():
    eigenvalues = power_law(1.0)
    doubled = eigenvalues * np.where(np.arange(768) == 0, 2.0, 1.0)
    moved = rank_decay_exponent(doubled, 1, 10) - rank_decay_exponent(eigenvalues, 1, 10)
    # Specs D2, printed to three digits.
    assert moved == pytest.approx(0.216, abs=5e-4)
    assert window(1, 10).sxx == pytest.approx(4.836, abs=5e-4)
    assert window(2, 10).sxx == pytest.approx(2.301, abs=5e-4)
    assert window(30, 150).sxx == pytest.approx(23.56, abs=5e-3)


def test_a_window_is_never_clipped():
    eigenvalues = power_law(1.0, 100)
    assert np.isnan(rank_decay_exponent(eigenvalues, 30, 101))
    assert np.isnan(rank_decay_exponent(eigenvalues, 30, 100, threshold=0.01))
    assert np.isfinite(rank_decay_exponent(eigenvalues, 30, 100, threshold=0.00999))


def test_rows_are_independent():
    rows = np.stack([power_law(1.0, 60), np.zeros(60), power_law(2.0, 60)])
    np.testing.assert_allclose(rank_decay_exponent(rows, 11, 40), [1.0, np.nan, 2.0], atol=1e-12)


def test_a_flat_spectrum_has_exponent_zero_and_no_r_squared():
    details = fit_details(np.full(40, 3.7), 1, 10)
    assert rank_decay_exponent(np.full(40, 3.7), 1, 10) == 0
    assert np.isnan(details["r_squared"])
    assert details["intercept"] == pytest.approx(np.log(3.7), rel=1e-12)


@given(st.floats(-60, 60), st.integers(0, 2**32 - 1))
def test_the_scale_does_not_matter(log10_scale, seed):
    eigenvalues = noisy(seed)
    scaled = rank_decay_exponent(eigenvalues * 10**log10_scale, 11, 100)
    # Rounding of logs up to 140 in size, over a window of sqrt(S_xx) = 5.
    assert scaled == pytest.approx(rank_decay_exponent(eigenvalues, 11, 100), abs=1e-11)
