from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.statistics.jackknife import with_replicates
from spectra_cli.statistics.rank_decay import rank_decay_exponent, window
from spectra_cli.statistics.ranks import effective_rank
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate


def power_law(exponent, width=768):
    return np.arange(1.0, width + 1) ** -exponent


def value_of(name, spectrum):
    return evaluate(STATISTICS[name], spectrum, step=0)


def sample_spectrum(rng, exponent, num_rows, width=768):
    """Eigenvalues of the centred covariance of Gaussian rows, by Bartlett's factor of a Wishart matrix."""
    scale = power_law(exponent, width) ** 0.5
    if num_rows <= width:
        rows = rng.standard_normal((num_rows, width)) * scale
        centred = rows - rows.mean(axis=0)
        few = np.linalg.eigvalsh(centred @ centred.T / (num_rows - 1))[::-1]
        return np.concatenate([np.maximum(few, 0), np.zeros(width - num_rows)])
    factor = np.tril(rng.standard_normal((width, width)), -1)
    factor[np.diag_indices(width)] = np.sqrt(rng.chisquare(num_rows - 1 - np.arange(width)))
    factor = scale[:, None] * factor
    return np.linalg.eigvalsh(factor @ factor.T / (num_rows - 1))[::-1]


def entropy_sd(eigenvalues, num_rows):
    """Standard error of log RankMe: lambda_j scatter independently by lambda_j sqrt(2 / n)."""
    p = eigenvalues / eigenvalues.sum()
    entropy = -(p * np.log(p)).sum()
    return np.sqrt(2 / num_rows * (p**2 * (np.log(p) + entropy) ** 2).sum())


@pytest.mark.parametrize(
    ("rows_per_dim", "exponent", "head", "tail", "rankme"),
    [
        (2 / 3, 0.5, 0.397, 0.543, None),
        (4 / 3, 1.0, None, 0.962, 129.0),
        (4, 1.5, None, 1.498, None),
        (16, 1.0, None, 0.995, 150.2),
        (16, 0.5, 0.490, 0.484, None),
        (256, 1.0, None, 0.999, 151.7),
    ],
)
def test_finite_samples_bend_a_power_law_as_tabled(rows_per_dim, exponent, head, tail, rankme):
    num_rows = round(rows_per_dim * 768)
    eigenvalues = sample_spectrum(np.random.default_rng(4), exponent, num_rows)
    for lo, hi, expected in ((1, 10, head), (30, 150, tail)):
        if expected is not None:
            # Specs A7. Both numbers are draws with the error of D5: 3 sqrt(2) SE, and half the last digit.
            tolerance = 3 * np.sqrt(2) * np.sqrt(2 / (num_rows * window(lo, hi).sxx)) + 5e-4
            assert rank_decay_exponent(eigenvalues, lo, hi) == pytest.approx(expected, abs=tolerance)
    if rankme is not None:
        tolerance = 3 * np.sqrt(2) * entropy_sd(power_law(exponent), num_rows) * rankme + 0.05
        assert effective_rank(eigenvalues) == pytest.approx(rankme, abs=tolerance)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_exact_power_laws_at_width_768(spectrum_of, exponent):
    profile = np.tile(power_law(exponent), (16, 1))
    spectrum = spectrum_of(power_law(exponent), block_profile=profile, block_sizes=(64,) * 16)
    for name, lo, hi in (
        ("head_exponent_1_10", 1, 10),
        ("head_exponent_2_10", 2, 10),
        ("tail_exponent_30_150", 30, 150),
        ("tail_exponent_50_200", 50, 200),
        ("tail_exponent_scaled", 30, 150),
    ):
        found = value_of(name, spectrum)
        assert found.value == pytest.approx(exponent, abs=1e-12)
        assert found.status == "ok"
        assert (found.details["window_lo"], found.details["window_hi"]) == (lo, hi)
        # Only the float32 of the profile tells the blocks apart.
        assert found.stderr < 1e-6


@pytest.mark.parametrize("width", [64, 128, 256, 1280, 1600, 4096])
def test_the_scaled_window_keeps_its_relative_ranks(spectrum_of, width):
    found = value_of("tail_exponent_scaled", spectrum_of(power_law(1.0, width)))
    lo = max(11, round(30 * width / 768))
    assert found.details["window_lo"] == lo
    assert found.details["window_hi"] == max(3 * lo, round(150 * width / 768))
    assert found.value == pytest.approx(1.0, abs=1e-12)


def test_a_window_that_does_not_fit_is_unresolved_and_named(spectrum_of):
    toy = spectrum_of(power_law(1.0, 128))
    found = value_of("tail_exponent_50_200", toy)
    assert found.status == "unresolved"
    assert "50-200" in found.reason
    assert "128 values" in found.reason
    assert (found.details["window_lo"], found.details["window_hi"]) == (50, 200)
    narrow = value_of("tail_exponent_scaled", spectrum_of(power_law(1.0, 48)))
    assert "0.6 of the 48" in narrow.reason


def test_numerical_zeros_inside_the_window_are_unresolved(spectrum_of):
    eigenvalues = np.where(np.arange(768) < 100, power_law(1.0), 1e-18)
    found = value_of("tail_exponent_30_150", spectrum_of(eigenvalues, zero_threshold=1e-15))
    assert found.status == "unresolved"
    assert "100 values above numerical zero" in found.reason


@pytest.mark.parametrize(
    ("exponent", "rows_per_dim", "status"),
    [
        (1.0, 3.9, "unresolved"),
        (1.0, 4.1, "partial"),
        (1.0, 16.1, "ok"),
        (0.5, 16.1, "partial"),
        (0.5, 64.1, "ok"),
    ],
)
def test_a_tail_stands_on_its_effective_rows(spectrum_of, exponent, rows_per_dim, status):
    profile = np.tile(power_law(exponent), (16, 1))
    num_rows = round(rows_per_dim * 768)
    spectrum = spectrum_of(
        power_law(exponent), num_samples=num_rows, block_profile=profile, block_sizes=(16,) * 16
    )
    found = value_of("tail_exponent_30_150", spectrum)
    assert found.status == status
    assert found.details["n_eff_over_d"] == pytest.approx(num_rows / 768)
    assert value_of("head_exponent_1_10", spectrum).status == "ok"
    assert value_of("n_eff_over_d", spectrum).value == pytest.approx(num_rows / 768)


def test_without_blocks_a_tail_is_partial(spectrum_of):
    found = value_of("tail_exponent_30_150", spectrum_of(power_law(1.0)))
    assert found.status == "partial"
    assert np.isnan(found.stderr)
    assert value_of("n_eff_over_d", spectrum_of(power_law(1.0))).status == "partial"


def test_correlated_rows_count_for_less(measured):
    """Rows that come in runs of 8 copies are n/8 independent ones."""
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(12):
        rows = rng.standard_normal((4096, 64)) * np.sqrt(power_law(1.0, 64))
        ratios.append(value_of("n_eff_over_d", measured(np.repeat(rows, 8, axis=0), (2048,) * 16)).value)
    # A variance with 15 degrees of freedom is known to 36 %, the mean of 12 to 11 %; its inverse is biased
    # up by 15/13, the jackknife error is up to 1.1 times the true one (squared: 0.83). 3 sigma around.
    assert 0.83 * 0.67 <= np.mean(ratios) / 64 <= 15 / 13 * 1.33


def test_the_closed_form_error_stands_beside(spectrum_of):
    details = value_of("tail_exponent_30_150", spectrum_of(power_law(1.0), num_samples=12288)).details
    # Specs D5: predicted .0026 at n = 12 288.
    assert details["stderr_if_independent"] == pytest.approx(0.0026, abs=5e-5)


def test_gradient_tails_need_three_samples_a_rank(spectrum_of):
    enough = spectrum_of(power_law(1.0, 450), "gradient_covariance", num_samples=450)
    short = spectrum_of(power_law(1.0, 449), "gradient_covariance", num_samples=449)
    assert value_of("tail_exponent_30_150", enough).status == "ok"
    assert "at least 450" in value_of("tail_exponent_30_150", short).reason


@pytest.mark.parametrize(("num_samples", "status"), [(63, "unresolved"), (80, "ok"), (512, "ok")])
def test_gradient_exponents_need_64_samples(spectrum_of, num_samples, status):
    spectrum = spectrum_of(power_law(1.0, num_samples), "gradient_covariance", num_samples=num_samples)
    assert value_of("head_exponent_1_10", spectrum).status == status
    scaled = value_of("tail_exponent_sample_scaled", spectrum)
    assert scaled.status == status
    assert scaled.details["window_lo"] == np.ceil(6 * num_samples / 100)
    assert scaled.details["window_hi"] == 3 * num_samples // 10


def test_too_few_points_are_unresolved(spectrum_of):
    spectrum = spectrum_of(power_law(1.0, 64), "gradient_covariance", num_samples=64)
    assert "16 points" in value_of("tail_exponent_sample_scaled", spectrum).reason


def test_singular_values_are_fitted_as_eigenvalues(spectrum_of):
    spectrum = spectrum_of(power_law(1.4, 512), "gradient_matrix", num_samples=512)
    found = value_of("tail_exponent_30_150", spectrum)
    assert found.value == pytest.approx(1.4, abs=1e-12)
    assert found.details["singular_value_exponent"] == pytest.approx(0.7, abs=1e-12)


def test_an_undefined_replicate_leaves_no_standard_error(spectrum_of):
    """The first block alone holds everything beyond rank 20."""
    eigenvalues = power_law(1.0, 64)
    profile = np.tile(eigenvalues, (4, 1))
    profile[:, 20:] = 0
    profile[0, 20:] = 4 * eigenvalues[20:]
    spectrum = spectrum_of(eigenvalues, block_profile=profile, block_sizes=(64,) * 4, zero_threshold=1e-6)
    found = value_of("tail_exponent_scaled", spectrum)
    assert np.isnan(found.stderr)
    assert found.details["replicates_undefined"] == 1
    assert found.status == "partial"
    assert np.isnan(rank_decay_exponent(with_replicates(spectrum), 11, 33, threshold=1e-6)).sum() == 1


@pytest.mark.parametrize(
    ("rows_per_dim", "said"),
    [
        (0.03, "at least 4 are needed; about 140 times as many sequences would be enough"),
        (2.0, "at least 4 are needed; about 2 times as many sequences would be enough"),
        (6.0, "16 are needed to neglect the bias; about 3 times as many sequences would be enough"),
    ],
)
def test_too_few_rows_are_said_with_the_sequences_that_would_do(spectrum_of, rows_per_dim, said):
    profile = np.tile(power_law(1.0), (16, 1))
    spectrum = spectrum_of(
        power_law(1.0), num_samples=round(rows_per_dim * 768), block_profile=profile, block_sizes=(16,) * 16
    )
    assert value_of("tail_exponent_30_150", spectrum).reason.endswith(said)
