"""Distances against scipy and the closed forms."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from spectra_cli.analysis.distances import (
    head_movement,
    jensen_shannon,
    log_spectral_distance,
    rank_wasserstein,
)

RANKS = np.arange(1, 769, dtype=float)


def power_law(exponent, ranks=RANKS):
    return ranks**-exponent


def test_power_laws_of_exponent_1_and_1_1():
    """Figures worked out by hand, to the digits that are stated."""
    p, q = power_law(1.0), power_law(1.1)
    assert float(jensen_shannon(p, q)) == pytest.approx(5.241e-3, abs=5e-7)
    assert float(rank_wasserstein(p, q)) == pytest.approx(0.03343, abs=5e-6)
    assert float(log_spectral_distance(p, q, 1, 768)) == pytest.approx(0.1 * np.log(RANKS).std(), rel=1e-12)
    assert 0.1 * np.log(RANKS).std() == pytest.approx(0.098172, abs=5e-7)


def test_random_spectra_agree_with_scipy():
    generator = np.random.default_rng(0)
    p, q = np.sort(generator.exponential(size=(2, 40)))[:, ::-1]
    assert float(jensen_shannon(p, q)) == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-12)
    places = np.arange(40) / 40
    expected = wasserstein_distance(places, places, p, q)
    assert float(rank_wasserstein(p, q)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("distance", [jensen_shannon, rank_wasserstein, head_movement])
def test_symmetric_zero_on_itself_and_blind_to_scale(distance):
    p, q = power_law(1.0), power_law(1.3)
    assert float(distance(p, 7 * p)) == pytest.approx(0.0, abs=1e-15)
    assert float(distance(p, q)) == pytest.approx(float(distance(q, p)), rel=1e-12)
    assert float(distance(p, q)) > 0


def test_zeros_count_and_windows_with_zeros_do_not():
    p, q = np.array([2.0, 1.0, 0.0]), np.array([2.0, 1.0, 1.0])
    assert float(jensen_shannon(p, q)) == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-12)
    assert np.isnan(log_spectral_distance(p, q, 1, 3))
    assert float(log_spectral_distance(p, q, 1, 2)) == 0.0


def test_head_movement_of_a_tilted_head():
    """Ten eigenvalues times j^-0.2, the rest scaled to keep the trace: HM is the spread of 0.2 log j."""
    p = power_law(1.0)
    q = p.copy()
    q[:10] *= RANKS[:10] ** -0.2
    q[10:] *= (p.sum() - q[:10].sum()) / q[10:].sum()
    expected = np.sqrt(((0.2 * np.log(RANKS[:10])) ** 2).mean())
    assert float(head_movement(p, q)) == pytest.approx(expected, rel=1e-12)


def test_rows_at_once():
    rows = np.stack([power_law(1.0), power_law(1.2)])
    single = [float(jensen_shannon(row, power_law(1.1))) for row in rows]
    np.testing.assert_allclose(jensen_shannon(rows, power_law(1.1)), single, rtol=1e-12)
