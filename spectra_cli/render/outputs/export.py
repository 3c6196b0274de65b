"""An export: the content that was asked for, written in a format, and what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from spectra_cli.core.types import Status
from spectra_cli.render.exports.arrays import groups_of_spectra, num_by_status
from spectra_cli.render.exports.logged import Tracker, logged_steps
from spectra_cli.render.exports.spectra import table_of_spectra
from spectra_cli.render.exports.statistics import table_of_statistics
from spectra_cli.render.exports.target import ArrayGroup, FileTarget, FlatTable
from spectra_cli.render.tables.show import notices

if TYPE_CHECKING:
    from spectra_cli.workflows.export import ExportedRun

_Part = TypeVar("_Part")


@dataclass(slots=True, kw_only=True)
class Exported:
    """What went through an export, counted on the way.

    Attributes:
        num_runs, num_checkpoints: that it is of.
        num: rows of a table, or spectra of arrays; `noun` says which.
        withheld: status -> how many have no value.
    """

    num_runs: int
    num_checkpoints: int
    noun: str = "row"
    num: int = 0
    withheld: Counter[str] = field(default_factory=Counter)

    def counted(self, parts: Iterable[Mapping[str, Sequence[Any]]]) -> Iterator[Mapping[str, Sequence[Any]]]:
        """The parts of a table, each counted when it is taken."""
        for part in parts:
            self.num += len(part["status"])
            self.withheld.update(
                status for status, value in zip(part["status"], part["value"], strict=True) if value is None
            )
            yield part

    def counted_groups(self, groups: Iterable[ArrayGroup]) -> Iterator[ArrayGroup]:
        """The groups, each counted when it is taken."""
        self.noun = "spectrum"
        for group in groups:
            found = num_by_status(group)
            self.num += found.pop(Status.OK.value, 0)
            self.withheld.update(found)
            yield group

    def sentence(self, where: str) -> str:
        """What was written: `a.csv: 12 rows of 1 run, 3 checkpoints`."""
        runs, checkpoints = _count(self.num_runs, "run"), _count(self.num_checkpoints, "checkpoint")
        said = f"{where}: {_count(self.num, self.noun)} of {runs}, {checkpoints}"
        if not self.withheld:
            return said
        kinds = ", ".join(f"{count} {status}" for status, count in sorted(self.withheld.items()))
        return f"{said}; {self.withheld.total()} without a value ({kinds}), each with its reason"


def write(target: FileTarget, runs: Sequence[ExportedRun], stream: BinaryIO, *, spectra: bool) -> Exported:
    """Write what was asked for in a format; nothing is written before there is something.

    Args:
        target: the format.
        runs: of what.
        stream: to which.
        spectra: the spectra themselves, not their statistics.

    Raises:
        UsageError: nothing of one of the runs is what was asked for.
    """
    done = Exported(num_runs=len(runs), num_checkpoints=sum(map(len, runs)))
    if spectra and target.write_arrays is not None:
        target.write_arrays(done.counted_groups(_begun(groups_of_spectra(runs))), stream)
        return done
    table: FlatTable = table_of_spectra(runs) if spectra else table_of_statistics(runs)
    target.write(replace(table, parts=done.counted(_begun(table.parts))), stream)
    return done


def log(tracker: Tracker, runs: Sequence[ExportedRun], stream: BinaryIO, left_out: list[str]) -> Exported:
    """Write the statistics as a tracker takes them.

    Args:
        tracker: which.
        runs: of what.
        stream: to which.
        left_out: is told of each checkpoint that has no step.

    Raises:
        UsageError: nothing of one of the runs is what was asked for, or none has a step.
    """
    done = Exported(num_runs=len(runs), num_checkpoints=sum(map(len, runs)))
    table = table_of_statistics(runs)
    begun = replace(table, parts=done.counted(_begun(table.parts)))
    tracker.write(logged_steps(begun, left_out), stream)
    return done


def notices_of(runs: Sequence[ExportedRun]) -> list[str]:
    """What whoever reads the numbers has to know, in sentences: by name where there are several runs."""
    found = []
    for one in runs:
        series = one.run.series
        told = [each.text for each in notices(one.run.infos, series.provenance.probe)]
        found += [f"{one.run.name}: {text}" if len(runs) > 1 else text for text in (*told, *series.notices)]
    return found


def _begun(parts: Iterable[_Part]) -> Iterator[_Part]:
    """The same parts, the first of which is there already."""
    rest = iter(parts)
    return chain([next(rest)], rest)


def _count(number: int, noun: str) -> str:
    """A number of things.

    >>> _count(1, "spectrum"), _count(2, "spectrum"), _count(2, "row")
    ('1 spectrum', '2 spectra', '2 rows')
    """
    plural = "spectra" if noun == "spectrum" else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
