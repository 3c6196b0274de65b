"""An export: the content that was asked for, written to a file or to stdout, and what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from spectra_cli.render.exports.spectra import table_of_spectra
from spectra_cli.render.exports.statistics import table_of_statistics
from spectra_cli.render.exports.target import FileTarget, FlatTable
from spectra_cli.render.tables.show import notices

if TYPE_CHECKING:
    from spectra_cli.workflows.export import ExportedRun


@dataclass(slots=True, kw_only=True)
class Exported:
    """What went through an export, counted on the way.

    Attributes:
        num_runs, num_checkpoints: that it is of.
        num_rows: of the table.
        withheld: status -> rows without a value.
    """

    num_runs: int
    num_checkpoints: int
    num_rows: int = 0
    withheld: Counter[str] = field(default_factory=Counter)

    def counted(self, table: FlatTable) -> FlatTable:
        """The same table, each part of which is counted when it is taken."""
        return replace(table, parts=self._counting(table.parts))

    def _counting(
        self, parts: Iterable[Mapping[str, Sequence[Any]]]
    ) -> Iterator[Mapping[str, Sequence[Any]]]:
        for part in parts:
            self.num_rows += len(part["status"])
            self.withheld.update(
                status for status, value in zip(part["status"], part["value"], strict=True) if value is None
            )
            yield part

    def sentence(self, where: str) -> str:
        """What was written: `a.csv: 12 rows of 1 run, 3 checkpoints`."""
        runs = f"{self.num_runs} run{'s' * (self.num_runs != 1)}"
        checkpoints = f"{self.num_checkpoints} checkpoint{'s' * (self.num_checkpoints != 1)}"
        said = f"{where}: {self.num_rows} row{'s' * (self.num_rows != 1)} of {runs}, {checkpoints}"
        if not self.withheld:
            return said
        kinds = ", ".join(f"{count} {status}" for status, count in sorted(self.withheld.items()))
        return f"{said}; {self.withheld.total()} without a value ({kinds}), each with its reason"


def content(runs: Sequence[ExportedRun], *, spectra: bool) -> FlatTable:
    """The table that was asked for: of the spectra themselves, or of their statistics.

    Raises:
        UsageError: nothing of the first run is what was asked for.
    """
    table = table_of_spectra(runs) if spectra else table_of_statistics(runs)
    parts = iter(table.parts)
    return replace(table, parts=chain([next(parts)], parts))


def write(target: FileTarget, runs: Sequence[ExportedRun], table: FlatTable, stream: BinaryIO) -> Exported:
    """Write a table in a format."""
    done = Exported(num_runs=len(runs), num_checkpoints=sum(map(len, runs)))
    target.write(done.counted(table), stream)
    return done


def notices_of(runs: Sequence[ExportedRun]) -> list[str]:
    """What whoever reads the numbers has to know, in sentences: by name where there are several runs."""
    found = []
    for one in runs:
        series = one.run.series
        told = [each.text for each in notices(one.run.infos, series.provenance.probe)]
        found += [f"{one.run.name}: {text}" if len(runs) > 1 else text for text in (*told, *series.notices)]
    return found
