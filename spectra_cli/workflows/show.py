"""Statistics of an archive: which checkpoints, layers and statistics a reader wants to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spectra_cli.core.errors import NotHeldError, UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.series import MeasuredSeries, Unfinished
from spectra_cli.core.shown import Shown
from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    Provenance,
    Skipped,
    StatisticValue,
)
from spectra_cli.statistics.summarise import summarise
from spectra_cli.workflows.identity.named_archive import open_named


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSummary:
    """One checkpoint with the statistics asked for."""

    ref: CheckpointRef
    info: CheckpointInfo
    provenance: Provenance
    statistics: tuple[StatisticValue, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ArchiveSummary(Shown):
    """An archive as a reader wants to see it.

    Attributes:
        path: of the archive.
        provenance: shared by all its checkpoints.
        series: every checkpoint that was asked for, in order.
        asked_for: the statistics named by the user; None for the default ones.
        steps_asked_for: whether the user chose among the checkpoints.
        unfinished: what a scan still owes it; None where nothing.
        notices: of the archive itself, in sentences: that it is unfinished, or may mix two runs.
    """

    path: Path
    provenance: Provenance
    series: tuple[CheckpointSummary, ...]
    asked_for: tuple[str, ...] | None
    steps_asked_for: bool = False
    unfinished: Unfinished | None = None
    notices: tuple[str, ...] = ()


def show(
    archive: AnyPath,
    *,
    steps: Sequence[int | range] | None = None,
    layers: Sequence[int] | None = None,
    statistics: Sequence[str] | None = None,
) -> ArchiveSummary:
    """The statistics of an archive, named by its path or by the folder it was scanned from.

    Raises:
        ArchiveError: there is no such archive, or it is damaged.
        UsageError: a step, layer or statistic that it does not hold.
    """
    return summary_of_series(open_named(archive), steps=steps, layers=layers, statistics=statistics)


def summary_of_series(
    series: MeasuredSeries,
    *,
    steps: Sequence[int | range] | None = None,
    layers: Sequence[int] | None = None,
    statistics: Sequence[str] | None = None,
) -> ArchiveSummary:
    """`show` of checkpoints that are open already, or in memory.

    Raises:
        ArchiveError, UsageError: as `show`.
    """
    if statistics is not None and not statistics:
        raise UsageError("no statistic was named: leave the choice out, or name one such as rankme_cov")
    path = series.path
    chosen = places_of_steps(series, steps)
    checkpoints = series.checkpoints(chosen, vectors=False)
    found = tuple(summary_of(checkpoint, layers, statistics) for checkpoint in checkpoints)
    if layers is not None and not any(s.site is not None for c in found for s in c.statistics):
        raise NotHeldError(f"{path} holds no layer {', '.join(map(str, layers))}; it holds {_layers(series)}")
    return ArchiveSummary(
        path=path,
        provenance=series.provenance,
        series=found,
        asked_for=None if statistics is None else tuple(statistics),
        steps_asked_for=steps is not None,
        unfinished=series.unfinished,
        notices=series.notices,
    )


def places_of_steps(series: MeasuredSeries, steps: Sequence[int | range] | None) -> list[int]:
    """The places in the series of the checkpoints of these steps; of all where none are named.

    Raises:
        UsageError: a step, or a range of them, of which it holds none.
    """
    refs = series.refs
    if steps is None:
        return list(range(len(refs)))
    known = [ref.step for ref in refs]
    spans = [range(step, step + 1) if isinstance(step, int) else step for step in steps]
    for span in spans:
        if not any(step in span for step in known):
            words = str(span.start) if len(span) == 1 else f"from {span.start} to {span.stop - 1}"
            held = ", ".join(str(step) for step in known if step is not None) or "none that is known"
            raise NotHeldError(f"{series.path} holds no step {words}; it holds {held}")
    return [index for index, step in enumerate(known) if any(step in span for span in spans)]


def summary_of(
    checkpoint: CheckpointSpectra, layers: Sequence[int] | None, statistics: Sequence[str] | None
) -> CheckpointSummary:
    """A checkpoint with its statistics: of these layers and of the whole model, by these names.

    Args:
        checkpoint: what was measured.
        layers: None for all; statistics: None for those shown by default.

    Raises:
        UsageError: a statistic that there is not.
    """
    values = summarise(checkpoint, statistics)
    if layers is not None:
        values = tuple(v for v in values if v.site is None or v.site.layer in layers)
    return CheckpointSummary(
        ref=checkpoint.ref,
        info=checkpoint.info,
        provenance=checkpoint.provenance,
        statistics=values,
        skipped=checkpoint.skipped,
    )


def _layers(series: MeasuredSeries) -> str:
    found = {s.site.layer for s in series.checkpoint(0, vectors=False).spectra if s.site.layer is not None}
    return ", ".join(str(layer) for layer in sorted(found))
