"""How far the leading subspaces of two models are apart, where their bases can be compared at all.

Two models share a basis if they share an ancestor: the same run, or a checkpoint from which both started.
An equal bulk says nothing about equal directions, nor the other way round. See docs/explanation/comparing.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from spectra_cli.analysis.alignment import Alignment
from spectra_cli.analysis.compare.aligned.points import nearest_to_last_point
from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.analysis.run import Run
from spectra_cli.analysis.subspaces import Rotation, cut_at, subspace_overlap
from spectra_cli.core.types import CheckpointInfo, Site, Spectrum

DIRECTIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRotation:
    """The leading subspace at one place of two models.

    Attributes:
        side: `right` (inputs of a matrix, directions of activations) or `left` (outputs).
        turn: how far the one is from the other.
        reason: why k is not 10, or why the cut behind it is arbitrary; empty otherwise.
    """

    measurement: str
    site: Site
    side: str
    turn: Rotation
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
            yield SiteRotation(
                measurement=spectrum.measurement,
                site=spectrum.site,
                side=side,
                turn=subspace_overlap(a, b, min(own.rank, its.rank)),
                reason=own.reason or its.reason,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A checkpoint of a run, by name and by how far it is; None where it does not say."""

    checkpoint: str
    step: int | None
    tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """Rotations, or why there are none.

    Attributes:
        rotations: of leading subspaces; reason: why there are none, empty otherwise.
        between: the checkpoints of A and of B that they are of; empty without rotations.
    """

    rotations: tuple[SiteRotation, ...] = ()
    reason: str = ""
    between: tuple[At, ...] = ()

    def notes(self, names: tuple[str, str]) -> list[str]:
        """Which checkpoints these are, since vectors are not interpolated."""
        named = [f"{at.checkpoint} of {name}" for at, name in zip(self.between, names, strict=False)]
        return [f"leading subspaces: of {' and '.join(named)}, nearest to the last point"] if named else []


def turned_between(
    runs: Sequence[Run], places: tuple[int, int], alignment: Alignment, choice: Choice
) -> Turned:
    """The rotations at the checkpoints of two runs that are nearest to the last point."""
    first, second = (runs[place] for place in places)
    kept = [run.series.provenance.setting_facts.num_vectors for run in (first, second)]
    why = why_no_rotation(first.infos, second.infos, (kept[0], kept[1]))
    if why:
        return Turned(reason=why)
    ends = [nearest_to_last_point(runs[place], place, alignment) for place in places]
    found = rotations(ends[0].spectra, ends[1].spectra)
    return Turned(
        rotations=tuple(one for one in found if choice.wants(one.site, one.measurement)),
        between=tuple(At(checkpoint=e.ref.key, step=e.ref.step, tokens=e.info.tokens_seen) for e in ends),
    )
