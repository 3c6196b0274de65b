"""What chance does to a change, against simulation; the readings on planted changes."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from spectra_cli.analysis.drift.change import (
    NO_LIFT,
    ChangeEvidence,
    ChangeReading,
    Lift,
    common_reading,
    energy_lift,
    expected_turn,
    normalised_spectral_shift,
    rotation_lift,
)
from spectra_cli.analysis.subspaces import orthonormal, rotation

M, N, K = 24, 40, 4


def planted(seed=0, values=None):
    """A matrix with a gap behind its K-th singular value, and its parts."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([np.linspace(9, 6, K), np.linspace(3, 1, M - K)]) if values is None else values
    left, right = ortho_group.rvs(M, random_state=rng), ortho_group.rvs(N, random_state=rng)
    return (left * values) @ right[:, :M].T, left, right


def turned_by(weight, after):
    one, other = np.linalg.svd(weight), np.linalg.svd(after)
    left = rotation(orthonormal(one[0].T), orthonormal(other[0].T), K)
    right = rotation(orthonormal(one[2]), orthonormal(other[2]), K)
    return (left.turned + right.turned) / 2


def test_shift_closed_forms():
    values = np.array([3.0, 2.0, 0.5])
    assert normalised_spectral_shift(values, values) == 0
    assert normalised_spectral_shift(values, 1.25 * values) == pytest.approx(0.25)  # W+ = c W: |c - 1|
    assert np.isnan(normalised_spectral_shift(np.zeros(3), values))


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_is_never_more_than_the_change(seed):
    rng = np.random.default_rng(seed)
    before, change = rng.standard_normal((2, 12, 20))
    shift = normalised_spectral_shift(
        np.linalg.svd(before, compute_uv=False), np.linalg.svd(before + change, compute_uv=False)
    )
    assert shift <= np.linalg.norm(change) / np.linalg.norm(before)


@pytest.mark.parametrize("values", [np.ones(M), np.eye(M)[0] + 1e-9, np.arange(M, 0, -1.0) ** 2])
def test_the_scatter_of_the_energy_is_that_of_random_orientations(values):
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(1500):
        left, right = orthonormal(rng.standard_normal((M, M))), orthonormal(rng.standard_normal((M, N)))
        inside = (left[:, :K].T * values) @ right[:, :K]
        shares.append((inside**2).sum() / (values**2).sum())
    lifts = [energy_lift(share, K, (M, N), values).value for share in shares]
    noise = energy_lift(0.0, K, (M, N), values).noise
    assert np.mean(lifts) == pytest.approx(1.0, abs=4 * noise / np.sqrt(1500))
    # Gaussian in place of orthonormal directions: conservative by up to a third at k/m = 1/6
    assert 0.95 * np.std(lifts) < noise < 1.45 * np.std(lifts)


def test_the_turning_of_a_random_change_is_at_chance():
    weight, *_ = planted()
    values = np.linalg.svd(weight, compute_uv=False)
    rng = np.random.default_rng(0)
    lifts = []
    for _ in range(300):
        change = 1e-3 * rng.standard_normal((M, N))
        found = rotation_lift(turned_by(weight, weight + change), values, K, (M, N), np.linalg.norm(change))
        lifts.append(found.value)
    # 300 draws: the mean to noise / sqrt(300), the scatter to 1 / sqrt(600) = 4 %, times 4
    assert np.mean(lifts) == pytest.approx(1.0, abs=4 * found.noise / np.sqrt(300))
    assert np.std(lifts) == pytest.approx(found.noise, rel=0.17)
    assert Lift(value=lifts[0], noise=found.noise).vote == 0


def test_no_first_order_no_lift():
    values = np.linspace(2, 1, M)
    assert rotation_lift(0.5, values, K, (M, N), 10.0) is NO_LIFT
    assert rotation_lift(0.5, values, M, (M, M), 1e-3) is NO_LIFT
    assert rotation_lift(0.0, values, K, (M, N), 0.0) is NO_LIFT
    assert rotation_lift(0.5, np.ones(M), K, (M, N), 1e-3) is NO_LIFT  # no gap at all
    assert energy_lift(np.nan, K, (M, N), values) is NO_LIFT
    assert energy_lift(0.5, K, (M, N), np.zeros(3)) is NO_LIFT


def test_a_rotation_on_the_left_turns_the_left_side_alone():
    # I7: W+ = Q W: no shift, right angles 0, left angles those of Q
    weight, left, _ = planted()
    q = ortho_group.rvs(M, random_state=1)
    after = q @ weight
    one, other = np.linalg.svd(weight), np.linalg.svd(after)
    assert normalised_spectral_shift(one[1], other[1]) < 1e-14
    assert rotation(orthonormal(one[2]), orthonormal(other[2]), K).turned < 1e-24
    expected = rotation(orthonormal(left.T), orthonormal((q @ left).T), K)
    found = rotation(orthonormal(one[0].T), orthonormal(other[0].T), K)
    np.testing.assert_allclose(found.angles, expected.angles, atol=1e-9)


ON, OFF = Lift(value=2.0, noise=0.1), Lift(value=0.5, noise=0.1)
NEITHER = Lift(value=1.1, noise=0.1)
READINGS = {
    "turned and on": ({"rotation": ON, "energy": ON}, ChangeReading.ON),
    "mostly turned": ({"turned_of_chance": 0.9}, ChangeReading.ON),
    "energy alone does not turn": ({"energy": ON}, ChangeReading.UNDECIDED),
    "masks off": ({"mask_principal": OFF, "mask_small": ON}, ChangeReading.OFF),
    "one mask alone": ({"mask_principal": OFF}, ChangeReading.UNDECIDED),
    "energy below chance": ({"energy": OFF}, ChangeReading.OFF),
    "turns less than chance": ({"rotation": OFF, "energy": NEITHER}, ChangeReading.OFF),
    "against each other": (
        {"rotation": ON, "mask_principal": OFF, "mask_small": ON},
        ChangeReading.UNDECIDED,
    ),
    "nothing": ({}, ChangeReading.UNDECIDED),
    "no change": ({"relative_change": 0.0, "turned_of_chance": 0.9}, ChangeReading.UNCHANGED),
}


@pytest.mark.parametrize("case", READINGS)
def test_readings(case):
    changes, expected = READINGS[case]
    assert ChangeEvidence(**({"turned_of_chance": 0.0, "relative_change": 0.1} | changes)).reading is expected


def test_a_lift_without_scatter_votes_only_where_it_is_not_one():
    assert Lift(value=1.0, noise=0.0).vote == 0
    assert Lift(value=1.0 + 1e-12, noise=0.0).vote == 0  # rounding
    assert Lift(value=1.2, noise=0.0).vote == 1
    assert NO_LIFT.vote == 0


def test_what_matrices_agree_on():
    assert common_reading([]) is ChangeReading.UNCHANGED
    assert common_reading([ChangeReading.ON] * 2 + [ChangeReading.OFF]) is ChangeReading.ON
    assert common_reading([ChangeReading.ON, ChangeReading.OFF]) is ChangeReading.UNDECIDED


def test_sampling_alone_turns_eigenvectors_as_expected():
    values = np.array([8.0, 6.0, 2.0, 1.5, 1.0, 0.5])
    n, k = 2000, 2
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        rows = rng.standard_normal((n, 6)) * np.sqrt(values)
        vectors = np.linalg.eigh(rows.T @ rows / n)[1][:, ::-1].T
        found.append(rotation(np.eye(6)[:k], orthonormal(vectors), k).turned)
    # about 8 squares a draw, 200 draws: sqrt(2 / 1600) = 3.5 %, times 3
    assert np.mean(found) == pytest.approx(expected_turn(values, k, n), rel=0.11)
    assert np.isnan(expected_turn(values, 6, n))
