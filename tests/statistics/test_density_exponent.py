from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from spectra_cli.statistics.density_exponent import fit_density
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate


def pareto_quantiles(exponent, num_values=768):
    i = np.arange(num_values, 0, -1)
    return ((num_values - i + 0.5) / num_values) ** (-1 / (exponent - 1))


@pytest.mark.parametrize(("exponent", "expected"), [(2, 2.001), (3, 3.002), (4, 4.003)])
def test_pareto_quantiles_give_their_exponent(exponent, expected):
    fit = fit_density(pareto_quantiles(exponent))
    # Specs C7, printed to three digits.
    assert fit.exponent == pytest.approx(expected, abs=5e-4)
    assert fit.num_values == 768


def pareto_cdf(x, exponent, start):
    return 1 - (x / start) ** (1 - exponent)


def test_the_fit_is_the_nearest_of_all_starts():
    """A slow look at every start, with scipy's distance."""
    eigenvalues = np.sort(np.random.default_rng(0).lognormal(sigma=1.5, size=120))[::-1]
    fits = []
    for k in range(20, 121):
        tail = eigenvalues[:k]
        exponent = 1 + k / np.log(tail / tail[-1]).sum()
        fits.append((kstest(tail, pareto_cdf, args=(exponent, tail[-1])).statistic, exponent, k))
    distance, exponent, k = min(fits)
    fit = fit_density(eigenvalues)
    assert (fit.num_values, fit.start) == (k, eigenvalues[k - 1])
    assert fit.exponent == pytest.approx(exponent, rel=1e-10)
    assert fit.distance == pytest.approx(distance, rel=1e-9)


def test_noise_is_flagged(spectrum_of):
    values = np.linalg.svd(np.random.default_rng(1).standard_normal((768, 768)), compute_uv=False)
    found = evaluate(STATISTICS["density_exponent"], spectrum_of(values**2, "weight"), step=0)
    assert found.status == "partial"
    assert "not a power law" in found.reason
    # Specs C7: steep (PEERS.md: 8.5 to 13.4; the chosen start jumps), at a distance near .13.
    assert found.value > 6
    assert found.details["distance"] == pytest.approx(0.13, abs=0.02)


def test_a_pareto_spectrum_stands(spectrum_of):
    found = evaluate(STATISTICS["density_exponent"], spectrum_of(pareto_quantiles(3), "weight"), step=0)
    assert found.status == "ok"
    assert found.details["fit_stderr"] == pytest.approx((found.value - 1) / np.sqrt(768), rel=1e-12)


def test_fifty_values_are_needed_and_not_all_equal(spectrum_of):
    few, flat = (
        evaluate(STATISTICS["density_exponent"], spectrum_of(e, "weight"), step=0)
        for e in (pareto_quantiles(2, 49), np.ones(60))
    )
    assert "49 values" in few.reason
    assert "equal" in flat.reason
