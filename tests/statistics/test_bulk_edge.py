from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from spectra_cli.statistics.bulk_edge import fit_bulk, marchenko_pastur_cdf, marchenko_pastur_median
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate


def singular_values(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


def spiked(rng, m, n, scale, strengths):
    left, right = (np.linalg.qr(rng.standard_normal((size, len(strengths))))[0] for size in (m, n))
    return scale * rng.standard_normal((m, n)) + left * strengths @ right.T


@pytest.mark.parametrize("aspect", [1.0, 0.5, 1 / 3, 0.01])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.95])
def test_the_law_is_the_integral_of_its_density(aspect, fraction):
    lower, upper = (1 - aspect**0.5) ** 2, (1 + aspect**0.5) ** 2
    x = lower + fraction * (upper - lower)

    def density(z):
        return np.sqrt((upper - z) * (z - lower)) / (2 * np.pi * aspect * z)

    # 1e-8: what quad promises at its integrable ends.
    assert marchenko_pastur_cdf(np.array([x]), aspect)[0] == pytest.approx(
        quad(density, lower, x)[0], abs=1e-8
    )


@pytest.mark.parametrize(
    ("aspect", "median"), [(1.0, 0.652776), (1 / 2, 0.830466), (1 / 3, 0.887681), (1 / 4, 0.916004)]
)
def test_the_median_is_the_tabled_one(aspect, median):
    assert marchenko_pastur_median(aspect) == pytest.approx(median, abs=5e-7)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_has_its_scale_and_no_outliers(seed):
    values = singular_values(0.02 * np.random.default_rng(seed).standard_normal((768, 768)))
    bulk = fit_bulk(values, 768, 768)
    # Specs C7.
    assert bulk.scale == pytest.approx(0.02, rel=0.005)
    assert bulk.num_outliers == 0
    assert values[0] / bulk.edge == pytest.approx(0.995, abs=0.005)
    assert bulk.distance < 0.02


def test_planted_directions_are_counted():
    rng = np.random.default_rng(3)
    strengths = np.array([1.5, 2, 3, 4, 6]) * 0.02 * np.sqrt(768)
    bulk = fit_bulk(singular_values(spiked(rng, 768, 768, 0.02, strengths)), 768, 768)
    assert bulk.num_outliers == 5


def test_a_planted_direction_comes_out_where_theory_puts_it():
    rng, theta = np.random.default_rng(4), 2 * (512 * 1024) ** 0.25
    draws = [singular_values(spiked(rng, 512, 1024, 1.0, np.array([theta]))) for _ in range(4)]
    expected = np.sqrt((theta**2 + 512) * (theta**2 + 1024)) / theta
    # Specs C7 give 67.9 with a spread of 0.7 a draw: three errors of the mean of four.
    assert expected == pytest.approx(67.9, abs=0.05)
    assert np.mean([values[0] for values in draws]) == pytest.approx(expected, abs=3 * 0.7 / 2)
    values = draws[0]
    bulk = fit_bulk(values, 512, 1024)
    assert bulk.num_outliers == 1
    assert bulk.outlier_share == pytest.approx(values[0] ** 2 / (values**2).sum(), rel=1e-12)
    assert fit_bulk(values, 1024, 512) == bulk


def test_a_power_law_is_no_bulk(spectrum_of):
    found = evaluate(STATISTICS["num_outliers"], spectrum_of(np.arange(1.0, 257) ** -1, "weight"), step=0)
    assert found.status == "partial"
    assert "bulk reshaped" in found.reason
    assert found.details["distance"] > 0.1


def test_the_soft_rank_of_noise_is_one(spectrum_of):
    values = singular_values(np.random.default_rng(5).standard_normal((256, 384)))
    spectrum = spectrum_of(values**2, "weight", num_samples=384, ambient_dim=256)
    found = evaluate(STATISTICS["mp_softrank"], spectrum, step=0)
    # The largest value scatters by p^(-2/3) = 2.5 % around the edge.
    assert (found.status, found.value) == ("ok", pytest.approx(1.0, abs=0.05))


def test_half_a_matrix_of_zeros_shows_no_bulk(spectrum_of):
    few = np.where(np.arange(64) < 30, 1.0, 0.0)
    found = evaluate(STATISTICS["num_outliers"], spectrum_of(few, "weight"), step=0)
    assert found.status == "unresolved"
    assert "34 of 64" in found.reason
