"""How far the leading subspaces of two runs have turned, and between which of their checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spectra_cli.analysis.alignment import Alignment
from spectra_cli.analysis.compare.aligned.reading import nearest_to_last_point
from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.analysis.compare.rotations import SiteRotation, rotations, why_no_rotation
from spectra_cli.analysis.run import Run


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
