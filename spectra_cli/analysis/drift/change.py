"""Whether training turned the principal directions of a weight, or kept away from them.

Three pieces of evidence, each against what a random change of the same size would do, in units of how far
chance scatters: how far the leading subspaces have turned, how much of the change lies inside them, and
where its visible entries lie. Each votes on the principals, off them, or neither.
See docs/how-to/measure-drift.md; Zhu et al., arXiv 2511.08567 (the off-principal reading).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from spectra_cli.core.types import FloatArray

SIGNIFICANT = 3.0
# A subspace that has turned half of the way to chance was turned, however large the change was.
MOSTLY_TURNED = 0.5
# Mean squared sine up to which perturbation theory of first order is taken at its word.
FIRST_ORDER = 0.1
# A run gets the reading that this share of its matrices agree on.
AGREED = 2 / 3


class ChangeReading(StrEnum):
    """What a change did to the principal directions."""

    ON = "rotates the principals"
    OFF = "stays off the principals"
    UNDECIDED = "undecided"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """A number over what chance gives, and how far chance scatters about 1.

    Attributes:
        value: 1 by chance; NaN where there is none.
        noise: standard deviation of the value under chance; NaN where it is not known.
    """

    value: float
    noise: float

    @property
    def vote(self) -> int:
        """1 above chance by three times its scatter, -1 below it, 0 otherwise."""
        off = self.value - 1.0
        if not math.isfinite(off) or not math.isfinite(self.noise) or abs(off) < SIGNIFICANT * self.noise:
            return 0
        return int(np.sign(off)) if abs(off) > 1e-9 else 0


NO_LIFT = Lift(value=math.nan, noise=math.nan)


def normalised_spectral_shift(before: FloatArray, after: FloatArray) -> float:
    """`|sigma(W) - sigma(W_0)| / |sigma(W_0)|` (I1); NaN where the first is zero.

    Never more than `|W - W_0|_F / |W_0|_F` (Mirsky).

    >>> normalised_spectral_shift(np.array([3.0, 4.0]), np.array([6.0, 8.0]))
    1.0
    """
    base = float(np.linalg.norm(before))
    return float(np.linalg.norm(after - before)) / base if base > 0 else math.nan


def energy_lift(share: float, rank: int, shape: tuple[int, int], change: FloatArray) -> Lift:
    """Energy of a change inside the leading subspaces over chance, `k^2 / (m n)` (I5).

    The scatter is that over all orientations of a change with these singular values,
    `sqrt(2/k^2 + (4/k + 2/k^2) / PR)` with the participation ratio PR of their squares: a change of low
    rank may lie in the subspaces, or out of them, by accident.

    Args:
        share: `|U_k U_k^T D V_k V_k^T|_F^2 / |D|_F^2`.
        rank: k; shape: (m, n).
        change: singular values of D.
    """
    energy = change**2
    if not energy.sum() > 0 or not math.isfinite(share):
        return NO_LIFT
    chance = rank**2 / (shape[0] * shape[1])
    ratio = float(energy.sum() ** 2 / (energy**2).sum())
    noise = math.sqrt(2 / rank**2 + (4 / rank + 2 / rank**2) / ratio)
    return Lift(value=share / chance, noise=noise)


def rotation_lift(
    turned: float, values: FloatArray, rank: int, shape: tuple[int, int], change_norm: float
) -> Lift:
    """How far both leading subspaces have turned over what a random change of that norm would do.

    To first order in a change with independent entries of variance `s^2 = |D|_F^2 / (m n)`, the mean
    squared sine of the left and the right subspace together is

        s^2 / (2 k) sum_{i<=k} [ 2 sum_{j>k} (x_i^2 + x_j^2) / (x_i^2 - x_j^2)^2 + (m + n - 2 p) / x_i^2 ]

    with the singular values x of W_0, p = min(m, n). Narrow gaps make it and its scatter large; NaN where
    it is above 0.1, since there the first order does not hold.

    Args:
        turned: mean of `1 - O_k` over the left and the right subspace.
        values: x, (p,); rank: k, below p; shape: (m, n).
        change_norm: Frobenius norm of D.
    """
    m, n = shape
    p, surplus = values.size, m + n - 2 * values.size
    leading, others = values[:rank, None] ** 2, values[None, rank:] ** 2
    if rank >= p or not change_norm > 0 or not leading[-1, 0] > others[0, 0]:
        return NO_LIFT
    unit = change_norm**2 / (m * n) / (2 * rank)
    inner = 2 * (leading + others) / (leading - others) ** 2
    outer = surplus / leading
    expected = unit * float(inner.sum() + outer.sum())
    if expected > FIRST_ORDER:
        return NO_LIFT
    # each term is a sum of two squares of Gaussians, left and right, of this correlation
    correlation = 2 * np.sqrt(leading * others) / (leading + others)
    variance = float((inner**2 * (1 + correlation**2)).sum() + 2 * (outer / leading).sum())
    return Lift(value=turned / expected, noise=unit * math.sqrt(variance) / expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvidence:
    """What is known of the change of one weight at one rank.

    Attributes:
        turned_of_chance: mean `1 - O_k` of both sides, over what two random subspaces have.
        rotation, energy: lifts; mask_principal, mask_small: of the visible entries.
        relative_change: `|D|_F / |W_0|_F`.
    """

    turned_of_chance: float
    relative_change: float
    rotation: Lift = NO_LIFT
    energy: Lift = NO_LIFT
    mask_principal: Lift = NO_LIFT
    mask_small: Lift = NO_LIFT

    @property
    def rotation_vote(self) -> int:
        """Turned most of the way, or further (less far) than a random change would turn it."""
        if self.turned_of_chance >= MOSTLY_TURNED:
            return 1
        return self.rotation.vote

    @property
    def mask_vote(self) -> int:
        """Off: visible entries avoid the principal part and prefer small weights; on: they seek it."""
        if self.mask_principal.vote < 0 and self.mask_small.vote > 0:
            return -1
        return int(self.mask_principal.vote > 0)

    @property
    def votes(self) -> tuple[int, int, int]:
        """Of rotation, energy and masks."""
        return self.rotation_vote, self.energy.vote, self.mask_vote

    @property
    def reading(self) -> ChangeReading:
        """On where the subspaces have turned and nothing speaks against it; off where something does and
        nothing for it.
        """
        if self.relative_change == 0:
            return ChangeReading.UNCHANGED
        votes = self.votes
        if votes[0] > 0 and min(votes) >= 0:
            return ChangeReading.ON
        if min(votes) < 0 and max(votes) <= 0:
            return ChangeReading.OFF
        return ChangeReading.UNDECIDED


def common_reading(readings: Sequence[ChangeReading]) -> ChangeReading:
    """What two thirds of the matrices that changed agree on; undecided where they do not.

    >>> off, undecided = ChangeReading.OFF, ChangeReading.UNDECIDED
    >>> common_reading([off, off, undecided, ChangeReading.UNCHANGED]).value
    'stays off the principals'
    """
    changed = [reading for reading in readings if reading is not ChangeReading.UNCHANGED]
    if not changed:
        return ChangeReading.UNCHANGED
    for reading in (ChangeReading.ON, ChangeReading.OFF):
        if changed.count(reading) >= AGREED * len(changed) - 1e-9:
            return reading
    return ChangeReading.UNDECIDED


def expected_turn(values: FloatArray, rank: int, num_samples: float) -> float:
    """`1 - O_k` that sampling alone gives the leading eigenvectors of a covariance of n Gaussian rows.

    `1 / (n k) sum_{i<=k} sum_{j>k} l_i l_j / (l_i - l_j)^2`, to first order, from the truth; between two
    independent probes it is twice that.

    Source: Anderson 1963, asymptotics of principal components.
    """
    leading, others = values[:rank, None], values[None, rank:]
    if rank >= values.size or not leading[-1] > others[0, 0] or not num_samples > 0:
        return math.nan
    return float((leading * others / (leading - others) ** 2).sum()) / (num_samples * rank)
