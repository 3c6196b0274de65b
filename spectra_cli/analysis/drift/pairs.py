"""Two checkpoints of one run: how the spectrum and the leading directions of each matrix moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

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
from spectra_cli.analysis.drift.prepared import TRAJECTORY_RANK, Basis, Prepared, is_reference
from spectra_cli.analysis.subspaces import Cut, Rotation, cut_at, rotation
from spectra_cli.core.measurements import ACTIVATIONS, WEIGHTS
from spectra_cli.core.types import FloatArray, Site, Spectrum


@dataclass(frozen=True, slots=True, kw_only=True)
class RankDrift:
    """How a leading subspace moved.

    Attributes:
        cut: where it was cut off, in the earlier spectrum.
        left, right: rotation of either side; left None where there are eigenvectors.
        sine_bound: Wedin's, on the largest sine; NaN where D is not known, useless from 1 on.
        energy_share, energy: of the change inside the subspace of the reference, and over chance.
        rotation: turning over that of a random change of the same norm.
        sampling_turn: `1 - O_k` that the probe's sampling alone would give two independent probes.
        reading: what all evidence says; None where there is no change to judge.
    """

    cut: Cut
    left: Rotation | None
    right: Rotation
    sine_bound: float = math.nan
    energy_share: float = math.nan
    energy: Lift = NO_LIFT
    rotation: Lift = NO_LIFT
    sampling_turn: float = math.nan
    reading: ChangeReading | None = None

    @property
    def sides(self) -> tuple[Rotation, ...]:
        """Those there are."""
        return (self.right,) if self.left is None else (self.left, self.right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is known of `D = W - W_0` beyond its spectrum."""

    relative: float
    visible_share: float
    visible_share_float32: float
    mask_principal: Lift
    mask_small: Lift
    mask_principal_not_small: Lift


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDrift:
    """One matrix, or one layer's activations, between two checkpoints."""

    site: Site
    measurement: str
    shift: float
    ranks: tuple[RankDrift, ...] = ()
    change: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPair:
    """Two checkpoints.

    Attributes:
        before, after: keys; against: `first` or `previous`.
        sites: weights, then activations, in canonical order.
        missing: (address, why) of what only one of the two has.
    """

    before: str
    after: str
    against: str
    sites: tuple[SiteDrift, ...]
    missing: tuple[tuple[str, str], ...] = ()

    def reading(self, place: int) -> ChangeReading | None:
        """What the matrices agree on, at the rank asked for in this place; None without readings."""
        found = [s.ranks[place].reading for s in self.sites if place < len(s.ranks)]
        readings = [reading for reading in found if reading is not None]
        return common_reading(readings) if readings else None


def compare(before: Prepared, after: Prepared, against: str, ranks: Sequence[int]) -> CheckpointPair:
    """Every weight and activation covariance of two checkpoints; with readings where `before` is the
    reference that the change of `after` was measured from.

    Args:
        before, after: the earlier and the later one; against: what the earlier one is, for the report.
        ranks: of the subspaces; empty for spectra without vectors.
    """
    known = is_reference(before, after)
    sites: list[SiteDrift] = []
    missing: list[tuple[str, str]] = []
    for key, other in after.bases.items():
        one = before.bases.get(key)
        if key[0] == ACTIVATIONS and before.weights_alone:
            continue
        if one is None or not _comparable(one.spectrum, other.spectrum):
            why = "not measured there" if one is None else "of another shape there"
            missing.append((key[1], f"{why}, at {before.name}"))
        elif key[0] == WEIGHTS or one.num_kept:
            sites.append(_site(one, other, after if known else None, ranks))
    gone = [address for name, address in before.bases if (name, address) not in after.bases]
    missing += [(address, f"not measured at {after.name}") for address in gone]
    order = {WEIGHTS: 0, ACTIVATIONS: 1}
    return CheckpointPair(
        before=before.name,
        after=after.name,
        against=against,
        sites=tuple(sorted(sites, key=lambda s: order[s.measurement])),
        missing=tuple(missing),
    )


def _comparable(one: Spectrum, other: Spectrum) -> bool:
    same_rows = one.measurement == ACTIVATIONS or one.num_samples == other.num_samples
    return same_rows and one.ambient_dim == other.ambient_dim and one.values.size == other.values.size


def _site(one: Basis, other: Basis, changed: Prepared | None, ranks: Sequence[int]) -> SiteDrift:
    address = one.spectrum.site.address
    change = None if changed is None else _change(changed, address)
    spectrum = None if changed is None else changed.changes.get(address)
    found = (_at_rank(one, other, rank, change, spectrum, changed) for rank in ranks)
    return SiteDrift(
        site=other.spectrum.site,
        measurement=other.spectrum.measurement,
        shift=normalised_spectral_shift(one.spectrum.values, other.spectrum.values),
        ranks=tuple(rank for rank in found if rank is not None),
        change=change if other.spectrum.measurement == WEIGHTS else None,
    )


def _change(prepared: Prepared, address: str) -> Change | None:
    def number(name: str) -> float:
        return prepared.numbers.get((name, address), math.nan)

    def lift(name: str) -> Lift:
        return Lift(value=number(f"mask_lift_{name}"), noise=number(f"mask_lift_{name}_null_sd"))

    if ("relative_change", address) not in prepared.numbers:
        return None
    return Change(
        relative=number("relative_change"),
        visible_share=number("visible_share"),
        visible_share_float32=number("visible_share_float32"),
        mask_principal=lift("principal"),
        mask_small=lift("small"),
        mask_principal_not_small=lift("principal_not_small"),
    )


def _at_rank(
    one: Basis,
    other: Basis,
    asked: int,
    change: Change | None,
    changed: Spectrum | None,
    prepared: Prepared | None,
) -> RankDrift | None:
    spectrum, values = one.spectrum, one.spectrum.values
    num_kept = min(one.num_kept, other.num_kept)
    cut = cut_at(values, asked, num_kept=num_kept, threshold=spectrum.zero_threshold) if num_kept else None
    if cut is None or one.right is None or other.right is None:
        return None
    right = rotation(one.right, other.right, cut.rank)
    if one.left is None or other.left is None:
        # two independent probes would differ by twice what one differs from the truth
        sampling = 2 * expected_turn(values, cut.rank, spectrum.num_samples)
        return RankDrift(cut=cut, left=None, right=right, sampling_turn=sampling)
    left = rotation(one.left, other.left, cut.rank)
    found = RankDrift(cut=cut, left=left, right=right)
    if change is None or changed is None or prepared is None:
        return found
    bound = sine_bound(values, other.spectrum.values, cut.rank, float(changed.values[0]))
    return replace(_judged(found, spectrum, changed.values, change, prepared), sine_bound=bound)


def sine_bound(before: FloatArray, after: FloatArray, rank: int, change: float) -> float:
    """Wedin's `|D|_2 / (s_k(after) - s_{k+1}(before))` on the largest sine between both leading subspaces.

    The gap is between the two matrices: the gap inside one of them bounds nothing. Infinite without one.

    Args:
        before, after: singular values, descending; change: `|D|_2`.

    Source: P.-A. Wedin, "Perturbation bounds in connection with singular value decomposition", BIT 12 (1972).
    """
    following = float(before[rank]) if rank < before.size else 0.0
    gap = float(after[rank - 1]) - following
    return change / gap if gap > 0 else math.inf


def _judged(
    found: RankDrift, spectrum: Spectrum, change: FloatArray, facts: Change, prepared: Prepared
) -> RankDrift:
    """With what the change itself says: energy, and the reading."""
    values, rank = spectrum.values, found.cut.rank
    shape = (spectrum.num_samples, spectrum.ambient_dim)
    address = spectrum.site.address
    # kept at the ranks of the scan's ladder: at the one asked for, whatever the gap says
    inside = min(found.cut.asked, int((values > spectrum.zero_threshold).sum()))
    share = prepared.numbers.get((f"energy_on_principal_{found.cut.asked}", address), math.nan)
    turned = sum(side.turned for side in found.sides) / 2
    chance = 1 - sum(side.chance for side in found.sides) / 2
    energy = energy_lift(share, inside, shape, change)
    rotated = rotation_lift(turned, values, rank, shape, float(np.linalg.norm(change)))
    evidence = ChangeEvidence(
        turned_of_chance=turned / chance if chance > 0 else 0.0,
        relative_change=facts.relative,
        rotation=rotated,
        energy=energy,
        mask_principal=facts.mask_principal,
        mask_small=facts.mask_small,
    )
    return replace(
        found,
        energy_share=share,
        energy=energy,
        rotation=rotated,
        reading=evidence.reading,
    )


def similarity(one: Prepared, last: Prepared) -> dict[str, float]:
    """`|V_K(t)^T V_K(end)|_F^2 / K` of each weight (I5)."""
    found: dict[str, float] = {}
    for (measurement, address), basis in one.bases.items():
        end = last.bases.get((measurement, address))
        if measurement != WEIGHTS or end is None or basis.right is None or end.right is None:
            continue
        rank = min(TRAJECTORY_RANK, basis.num_kept, end.num_kept)
        if basis.right.shape[1] == end.right.shape[1]:
            found[address] = rotation(basis.right, end.right, rank).overlap
    return found
