"""How far the leading subspaces of two models are apart, where their bases can be compared at all.

Two models share a basis if they share an ancestor: the same run, or a checkpoint from which both started.
An equal bulk says nothing about equal directions, nor the other way round. See docs/explanation/comparing.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from spectra_cli.analysis.subspaces import cut_at, subspace_overlap
from spectra_cli.core.types import CheckpointInfo, Site, Spectrum

DIRECTIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRotation:
    """The leading subspace at one place of two models.

    Attributes:
        side: `right` (inputs of a matrix, directions of activations) or `left` (outputs).
        rank: k, directions compared.
        overlap: O_k, mean squared cosine: 1 for the same subspace, `chance` for random ones.
        mean_degrees, max_degrees: principal angles.
        reason: why k is not 10, or why the cut behind it is arbitrary; empty otherwise.
    """

    measurement: str
    site: Site
    side: str
    rank: int
    overlap: float
    chance: float
    mean_degrees: float
    max_degrees: float
    reason: str = ""


def why_no_rotation(
    first: Sequence[CheckpointInfo], second: Sequence[CheckpointInfo], kept: tuple[int, int]
) -> str:
    """Why directions of two runs cannot be compared; empty if they can.

    Args:
        first, second: all checkpoints of both runs.
        kept: vectors a spectrum that the scans kept.
    """
    shared = {info.digest for info in first} & {info.digest for info in second} - {""}
    if not shared:
        return (
            "different initialisation, as far as the archives tell (they share no checkpoint): "
            "directions of different bases mean nothing to each other"
        )
    if not all(kept):
        return "no vectors kept: scan both with --vectors K"
    return ""


def rotations(first: Iterable[Spectrum], second: Iterable[Spectrum]) -> Iterator[SiteRotation]:
    """Leading subspaces of all places that both models have vectors at."""
    theirs = {(s.measurement, s.site): s for s in second if s.vectors is not None}
    for spectrum in first:
        other = theirs.get((spectrum.measurement, spectrum.site))
        if spectrum.vectors is None or other is None or other.vectors is None:
            continue
        cuts = [
            cut_at(s.values, DIRECTIONS, num_kept=v.num_vectors, threshold=s.zero_threshold)
            for s, v in ((spectrum, spectrum.vectors), (other, other.vectors))
        ]
        for side in ("right", "left"):
            a, b = getattr(spectrum.vectors, side), getattr(other.vectors, side)
            own, its = cuts
            if a is None or b is None or own is None or its is None or a.shape[1] != b.shape[1]:
                continue
            rank = min(own.rank, its.rank)
            found = subspace_overlap(a, b, rank)
            yield SiteRotation(
                measurement=spectrum.measurement,
                site=spectrum.site,
                side=side,
                rank=rank,
                overlap=found.overlap,
                chance=found.chance,
                mean_degrees=found.mean_degrees,
                max_degrees=found.max_degrees,
                reason=own.reason or its.reason,
            )
