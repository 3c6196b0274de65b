from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.core.types import Status
from spectra_cli.statistics.alpha_req import ALPHA_REQ_11_100, weighted_decay_exponent
from spectra_cli.statistics.statistic import evaluate


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.7])
def test_a_power_law_gives_its_exponent(exponent):
    """Specs D11."""
    eigenvalues = np.arange(1.0, 201) ** -exponent
    assert weighted_decay_exponent(eigenvalues, 11, 100) == pytest.approx(exponent, abs=1e-12)


def test_it_is_numpys_weighted_line():
    eigenvalues = np.sort(np.random.default_rng(0).gamma(1.0, size=120))[::-1]
    ranks = np.arange(11, 101)
    # polyfit's weights multiply the residuals: the root of those of their squares
    slope = np.polyfit(np.log(ranks), np.log(eigenvalues[10:100]), 1, w=ranks**-0.5)[0]
    assert weighted_decay_exponent(eigenvalues, 11, 100) == pytest.approx(-slope, abs=1e-10)


def test_gaussian_rows_without_structure_have_a_small_exponent_from_few_samples():
    """Specs D11: 1000 x 1024 Gaussian rows, centred: 0.146 +- 0.006 though the truth is 0."""
    rows = np.random.default_rng(1).standard_normal((1000, 1024))
    rows -= rows.mean(0)
    eigenvalues = np.linalg.svd(rows, compute_uv=False) ** 2
    assert weighted_decay_exponent(eigenvalues, 11, 100) == pytest.approx(0.146, abs=0.018)


def test_a_narrow_spectrum_is_unresolved(spectrum_of):
    found = evaluate(ALPHA_REQ_11_100, spectrum_of(np.arange(99.0, 0, -1), "activation_covariance"), step=0)
    assert found.status is Status.UNRESOLVED
    assert "99 values" in found.reason
