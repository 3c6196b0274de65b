"""The statistics of archives as one flat table: the tidy rows of `show`, and what the training said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spectra_cli.core.types import Skipped
from spectra_cli.render.exports.columns import OF_TRAINING, STATISTICS
from spectra_cli.render.exports.target import FlatTable
from spectra_cli.render.output import plain
from spectra_cli.render.tidy import OF_CHECKPOINT, OF_STATISTIC, fields_of, of_place, tidy_rows
from spectra_cli.statistics.registry import STATISTICS as KNOWN

if TYPE_CHECKING:
    from spectra_cli.core.types import CheckpointSpectra
    from spectra_cli.workflows.export import ExportedRun
    from spectra_cli.workflows.show import CheckpointSummary

_CHECKPOINT = fields_of((*OF_CHECKPOINT, *OF_TRAINING))
_NO_STATISTIC = dict.fromkeys(column.name for column in OF_STATISTIC) | {"statistic": "", "unit": ""}


def table_of_statistics(runs: Sequence[ExportedRun]) -> FlatTable:
    """A row a statistic, and one for each site that was asked for and not measured."""
    return FlatTable(columns=STATISTICS, parts=_parts(runs))


def of_series(archive: str, one: CheckpointSummary | CheckpointSpectra, probe_loss: float) -> dict[str, Any]:
    """The cells under `OF_SERIES`; None for a missing number."""
    return {"archive": archive, "probe_loss": plain(probe_loss), **_CHECKPOINT.of(one)}


def _parts(runs: Sequence[ExportedRun]) -> Iterator[Mapping[str, Sequence[Any]]]:
    """A part a checkpoint, without those that nothing was asked of.

    Raises:
        UsageError: there is nothing of one of the runs.
    """
    for run in runs:
        found = False
        for one, loss in zip(run.summaries(), run.probe_losses().tolist(), strict=True):
            shared = of_series(run.run.name, one, loss)
            rows = [*tidy_rows(one), *_skipped(one, run.selection.statistics)]
            found = found or bool(rows)
            if rows:
                yield {
                    column.name: [shared[column.name]] * len(rows)
                    if column.name in shared
                    else [row[column.name] for row in rows]
                    for column in STATISTICS
                }
        if not found:
            raise run.nothing()


def _skipped(one: CheckpointSummary, asked_for: Iterable[str] | None) -> Iterator[dict[str, Any]]:
    """A row for each site that was not measured: of each statistic asked for that is defined there."""
    for skipped in one.skipped:
        for name in [""] if asked_for is None else asked_for:
            if not name or (name in KNOWN and skipped.measurement in KNOWN[name].measurements):
                yield {
                    **of_place(skipped.measurement, skipped.site),
                    **_NO_STATISTIC,
                    **why_skipped(skipped),
                    "statistic": name,
                }


def why_skipped(skipped: Skipped) -> dict[str, str]:
    """The cells that say why nothing was measured."""
    return {"status": skipped.status.value, "reason": skipped.reason}
