from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spectra_cli.statistics.ranks import (
    directions_holding,
    effective_rank,
    participation_ratio,
    spectral_entropy,
    stable_rank,
)
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate

RANKS = ("rankme_cov", "participation_ratio", "stable_rank", "top10_share")
spectra = arrays(float, st.integers(1, 40), elements=st.floats(1e-3, 1e3)).map(lambda a: np.sort(a)[::-1])


def power_law(exponent, width=768):
    return np.arange(1.0, width + 1) ** -exponent


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [
        (0.5, ("607.92", "403.54", "53.98", ".0930")),
        (1.0, ("151.97", "31.730", "7.2217", ".4056")),
        (1.5, ("17.921", "5.368", "2.5402", ".7855")),
    ],
)
def test_power_laws_give_the_tabled_ranks(spectrum_of, exponent, expected):
    spectrum = spectrum_of(power_law(exponent))
    for name, printed in zip(RANKS, expected, strict=True):
        # Specs D11: to half of the last printed digit.
        tolerance = 0.5 * 10.0 ** -len(printed.split(".")[1])
        assert evaluate(STATISTICS[name], spectrum, step=0).value == pytest.approx(
            float(printed), abs=tolerance
        )


def test_the_two_rankmes_are_different_numbers(spectrum_of):
    # PEERS.md: lambda = 1/i, d = 512 gives 117 of eigenvalues, 410 of singular values.
    spectrum = spectrum_of(power_law(1.0, 512), "weight")
    assert evaluate(STATISTICS["rankme_cov"], spectrum, step=0).value == pytest.approx(117, abs=0.5)
    assert evaluate(STATISTICS["rankme_sv"], spectrum, step=0).value == pytest.approx(410, abs=0.5)


def test_gaussian_rows_give_the_tabled_rankmes():
    values = np.linalg.svd(np.random.default_rng(0).standard_normal((1000, 1024)), compute_uv=False)
    # Specs D7, printed to a whole number; sampling moves it by far less than one.
    assert effective_rank(values**2) == pytest.approx(613, abs=1.5)
    assert effective_rank(values) == pytest.approx(813, abs=1.5)


@pytest.mark.parametrize("width", [1, 2, 64, 768])
def test_equal_eigenvalues_fill_every_dimension(width):
    flat = np.full(width, 0.3)
    for rank in (effective_rank, participation_ratio, stable_rank):
        assert rank(flat) == pytest.approx(width, rel=1e-12)


def test_one_direction_has_rank_one():
    single = np.array([5.0, 0.0, 0.0])
    for rank in (effective_rank, participation_ratio, stable_rank):
        assert rank(single) == 1.0


@given(spectra)
def test_ranks_are_ordered_and_bounded(eigenvalues):
    # Renyi entropies of order 1, 2 and infinity fall with the order; 1e-12 is rounding.
    order_1, order_2, order_inf = (
        rank(eigenvalues).item() for rank in (effective_rank, participation_ratio, stable_rank)
    )
    assert eigenvalues.size * (1 + 1e-12) >= order_1
    assert order_1 >= order_2 * (1 - 1e-12)
    assert order_2 >= order_inf * (1 - 1e-12)
    assert order_inf >= 1 - 1e-12


@given(spectra, st.floats(1e-20, 1e20))
def test_entropy_ignores_scale_and_zeros(eigenvalues, scale):
    padded = np.concatenate([eigenvalues * scale, np.zeros(3)])
    assert spectral_entropy(padded) == pytest.approx(spectral_entropy(eigenvalues).item(), abs=1e-12)


@given(spectra, st.floats(0.05, 0.99))
def test_directions_holding_a_share_are_the_fewest(eigenvalues, share):
    num = int(np.ceil(directions_holding(eigenvalues, share).item() - 1e-9))
    held = np.cumsum(eigenvalues) / eigenvalues.sum()
    assert held[num - 1] >= share - 1e-9
    assert num == 1 or held[num - 2] <= share + 1e-9


def test_rank_at_a_share_is_whole_and_keeps_the_interpolated_number(spectrum_of):
    flat = evaluate(STATISTICS["rank_90"], spectrum_of(np.ones(100)), step=0)
    assert (flat.value, flat.details["interpolated"]) == (90.0, pytest.approx(90.0, abs=1e-9))
    steep = evaluate(STATISTICS["rank_90"], spectrum_of([8.0, 2.0]), step=0)
    assert (steep.value, steep.details["interpolated"]) == (2.0, pytest.approx(1.5, abs=1e-9))


def test_a_top_share_needs_that_many_values(spectrum_of):
    value = evaluate(STATISTICS["top50_share"], spectrum_of(np.ones(49)), step=0)
    assert value.status == "unresolved"
    assert "49" in value.reason
    assert evaluate(STATISTICS["top50_share"], spectrum_of(np.ones(50)), step=0).value == pytest.approx(1.0)


def test_normalised_entropy_is_one_for_equal_eigenvalues(spectrum_of):
    entropy = STATISTICS["spectral_entropy_normalized"]
    assert evaluate(entropy, spectrum_of(np.ones(30)), step=0).value == pytest.approx(1.0, rel=1e-12)
    assert evaluate(entropy, spectrum_of([1.0]), step=0).status == "unresolved"
