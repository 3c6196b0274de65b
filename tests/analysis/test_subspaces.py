"""Oracles I7 and E7: planted rotations, scipy's angles, chance."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group

from spectra_cli.analysis.subspaces import (
    cut_at,
    orthonormal,
    relative_gap,
    rotation,
    subspace_overlap,
)


def random_rows(k, d, seed=0):
    return orthonormal(np.random.default_rng(seed).standard_normal((k, d)))


@pytest.mark.parametrize("theta", [0.0, 1e-12, 1e-8, 1e-4, 0.3, np.pi / 4, 1.5, np.pi / 2])
def test_a_planted_rotation_of_one_direction(theta):
    # E7: O_k = 1 - sin^2 theta / k; angles below 1e-8 are lost to arccos, and kept here
    k, d = 5, 40
    basis = random_rows(d, d)
    turned = basis[:k].copy()
    turned[2] = np.cos(theta) * basis[2] + np.sin(theta) * basis[k]
    found = rotation(basis, turned, k)
    # sines are exact to a few rounding errors of 1
    assert np.sqrt(k * found.turned) == pytest.approx(np.sin(theta), rel=1e-9, abs=1e-14)
    assert found.overlap == pytest.approx(1 - np.sin(theta) ** 2 / k, rel=1e-12)
    assert found.max_degrees == pytest.approx(np.degrees(theta), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("spread", [1e-9, 1e-5, 0.1, 10.0])
@pytest.mark.parametrize(("k", "d"), [(1, 7), (5, 12), (8, 8), (9, 12)])
def test_scipys_principal_angles(k, d, spread):
    first = random_rows(k, d)
    second = orthonormal(first + spread * np.random.default_rng(1).standard_normal((k, d)))
    expected = np.sort(subspace_angles(first.T, second.T))
    # both are exact to about 1e-15 absolute
    np.testing.assert_allclose(np.sort(rotation(first, second, k).angles), expected, rtol=1e-6, atol=3e-15)


def test_leading_rows_give_the_leading_subspace():
    first, second = random_rows(6, 20), random_rows(6, 20, seed=1)
    expected = np.sort(subspace_angles(first[:3].T, second[:3].T))
    np.testing.assert_allclose(rotation(first, second, 3).angles, expected, rtol=1e-9)
    assert subspace_overlap(first, second, 3).overlap == pytest.approx((np.cos(expected) ** 2).mean())
    assert subspace_overlap(first, second).rank == 6


def test_signs_and_mixing_inside_do_not_matter():
    first = random_rows(4, 20)
    mixed = ortho_group.rvs(4, random_state=0) @ first
    # 1 - O_k is a sum of squares of rounding errors
    assert subspace_overlap(first, mixed).turned < 1e-28


def test_float32_storage_is_seen_as_rounding_only():
    first = random_rows(16, 500)
    assert np.radians(subspace_overlap(first, first.astype(np.float32)).max_degrees) < 1e-6


def test_chance():
    k, d = 4, 30
    overlaps = [
        rotation(random_rows(k, d, seed=2 * i), random_rows(k, d, seed=2 * i + 1), k).overlap
        for i in range(600)
    ]
    # 600 draws of uniformly distributed subspaces: three standard errors of their mean
    spread = np.sqrt(2) * (d - k) / (d * np.sqrt((d - 1) * (d + 2)))
    assert np.mean(overlaps) == pytest.approx(k / d, abs=3 * spread / np.sqrt(600))


def test_subspaces_that_cannot_be_compared():
    for first, second, rank in (
        (random_rows(3, 8), random_rows(3, 9), None),
        (random_rows(3, 8), random_rows(3, 8), 4),
        (random_rows(3, 8), random_rows(3, 8), 0),
    ):
        with pytest.raises(ValueError, match="subspaces of rank"):
            subspace_overlap(first, second, rank)


def test_a_wide_gap_is_kept_and_a_narrow_one_moves_the_cut():
    values = np.array([10.0, 9.0, 8.0, 7.9, 4.0, 3.99, 0.0])
    cut = cut_at(values, 2, num_kept=7, threshold=0.0)
    assert (cut.rank, cut.well_defined, cut.reason) == (2, True, "")
    cut = cut_at(values, 3, num_kept=7, threshold=0.0)  # 8 to 7.9: 1.25 %; 3 +- 30 % is 3 alone
    assert (cut.rank, cut.well_defined) == (3, False)
    assert "ill-defined" in cut.reason
    cut = cut_at(values, 5, num_kept=7, threshold=0.0)  # 4 to 3.99; at 4 it is 49 %, at 6 100 %
    assert (cut.asked, cut.rank, cut.gap) == (5, 6, 1.0)
    assert "the gap at 5 is 0.2 %" in cut.reason


def test_a_cut_keeps_to_the_numerical_rank_and_to_what_was_kept():
    values = np.array([3.0, 2.0, 1.0, 1e-17])
    cut = cut_at(values, 4, num_kept=4, threshold=1e-15)
    assert (cut.rank, cut.gap) == (3, 1.0)
    assert cut.reason == "only 3 directions have a value that is not zero"
    assert cut_at(values, 3, num_kept=2, threshold=1e-15).reason == "only 2 vectors were kept"
    assert cut_at(np.zeros(3), 2, num_kept=2, threshold=0.0) is None
    assert relative_gap(values, 1) == pytest.approx(1 / 3)
