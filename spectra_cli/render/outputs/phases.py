"""The phases of a run: table, JSON document, CSV rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.analysis.phases.segments import FEWEST_CHECKPOINTS
from spectra_cli.core.words.numbers import count, with_error
from spectra_cli.render.output import Fields, Output
from spectra_cli.render.table import Part, Table, from_columns, line

if TYPE_CHECKING:
    from spectra_cli.analysis.phases.over_run import Phases
    from spectra_cli.analysis.phases.segments import Segment

SCHEMA = "spectra.phases/1"
MEANING = {
    "warmup": "effective rank falls, alpha rises, at the start",
    "entropy-seeking": "effective rank rises, alpha falls",
    "compression-seeking": "effective rank falls, alpha rises",
    "discordant": "alpha does not go against effective rank: no phase of the three",
    "flat": "effective rank does not change by three standard errors",
}
_OF_RUN = Fields("run=name archive=path unit layer alpha has_structure")
_POINT = Fields("step position rankme_cov=rank rankme_cov_stderr=rank_stderr alpha alpha_stderr")
_CHANGES = Fields(
    "log_rank_change=rank_change log_rank_stderr=rank_stderr alpha_change=alpha_change alpha_stderr"
)
_ENDS = ("start", "end", "start_step", "end_step", "end_low", "end_high")
COLUMNS = ("segment", "phase", *_ENDS, *_CHANGES.names)
"""Columns of the CSV table, one row a segment."""


def output(found: Phases) -> Output:
    """The phases of a run, for every form."""
    return Output.of(found, tables, document, COLUMNS, rows, found.warnings)


def tables(found: Phases) -> Iterator[Part]:
    """Everything there is to say."""
    yield line(f"{found.name}: {verdict_words(found)}", style="bold")
    yield line(
        f"RankMe (cov) and alpha ({found.alpha}) of layer {found.layer} over "
        f"{len(found.points)} checkpoints; ± is one standard error, of a change paired over the same probe"
    )
    yield _table(found)
    for warning in found.warnings:
        yield line(f"warning: {warning}", style="yellow")


def verdict_words(found: Phases) -> str:
    """Which phases there are; of too short a series, that it is one."""
    named = ", ".join(segment.name for segment in found.segments)
    if len(found.points) < FEWEST_CHECKPOINTS:
        too_few = f"{len(found.points)} checkpoints are too few to tell phases ({FEWEST_CHECKPOINTS} needed)"
        return f"{too_few}; by these, {named}" if found.has_structure else too_few
    return named if found.has_structure else "no phase structure found"


def _table(found: Phases) -> Table:
    columns: dict[str, list[str]] = {
        "phase": [segment.name for segment in found.segments],
        f"from\n{found.unit}": [count(round(found.points[s.first].position)) for s in found.segments],
        f"to\n{found.unit}": [count(round(found.points[s.last].position)) for s in found.segments],
        "its end lies\nbetween (95 %)": [_end(found, segment) for segment in found.segments],
        "change of\nlog RankMe": [with_error(s.rank_change, s.rank_stderr) for s in found.segments],
        "change of\nalpha": [with_error(s.alpha_change, s.alpha_stderr) for s in found.segments],
    }
    names = dict.fromkeys(segment.name for segment in found.segments)
    notes = [line(f"{name}: {MEANING[name]}", style="dim") for name in names]
    return from_columns(columns, title="Segments", notes=notes)


def _end(found: Phases, segment: Segment) -> str:
    if segment is found.segments[-1]:
        return "end of the run"
    low, high = (count(round(found.points[place].position)) for place in (segment.earliest, segment.latest))
    return f"{low} - {high}"


def document(found: Phases) -> dict[str, Any]:
    """The JSON document."""
    return {
        "schema": SCHEMA,
        **_OF_RUN.of(found),
        "segments": rows(found),
        "checkpoints": list(map(_POINT.of, found.points)),
        **Fields("warnings unfinished").of(found),
    }


def rows(found: Phases) -> list[dict[str, Any]]:
    """One row a segment, keyed by `COLUMNS`; the last has no `end_low` and `end_high`: the run ends there."""
    points, table = found.points, []
    for number, segment in enumerate(found.segments):
        ends = points[segment.first], points[segment.last]
        turns = [points[place].position for place in (segment.earliest, segment.latest)]
        where = (*(e.position for e in ends), *(e.step for e in ends), *turns)
        if segment is found.segments[-1]:
            where = (*where[:-2], None, None)
        named = {"segment": number, "phase": segment.name, **dict(zip(_ENDS, where, strict=True))}
        table.append(named | _CHANGES.of(segment))
    return table
