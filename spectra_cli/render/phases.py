"""The phases of a run: table, JSON document, CSV rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.core.words.numbers import count, finite, with_error
from spectra_cli.render.output import Output
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
COLUMNS = (
    "segment",
    "phase",
    "start",
    "end",
    "start_step",
    "end_step",
    "end_low",
    "end_high",
    "log_rank_change",
    "log_rank_stderr",
    "alpha_change",
    "alpha_stderr",
)
"""Columns of the CSV table, one row a segment."""


def output(found: Phases) -> Output:
    """The phases of a run, for every form."""
    return Output(
        tables=lambda: tables(found),
        document=lambda: document(found),
        columns=COLUMNS,
        rows=lambda: rows(found),
        notices=found.warnings,
    )


def tables(found: Phases) -> Iterator[Part]:
    """Everything there is to say."""
    yield line(f"{found.name}: {_verdict(found)}", style="bold")
    yield line(
        f"RankMe (cov) and alpha ({found.alpha}) of layer {found.layer} over "
        f"{len(found.points)} checkpoints; ± is one standard error, of a change paired over the same probe"
    )
    yield _table(found)
    for warning in found.warnings:
        yield line(f"warning: {warning}", style="yellow")


def _verdict(found: Phases) -> str:
    if not found.has_structure:
        return "no phase structure found"
    return ", ".join(segment.name for segment in found.segments)


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
        "run": found.name,
        "archive": str(found.path),
        "unit": found.unit,
        "layer": found.layer,
        "alpha": found.alpha,
        "has_structure": found.has_structure,
        "segments": rows(found),
        "checkpoints": [
            {
                "step": point.step,
                "position": point.position,
                "rankme_cov": finite(point.rank),
                "rankme_cov_stderr": finite(point.rank_stderr),
                "alpha": finite(point.alpha),
                "alpha_stderr": finite(point.alpha_stderr),
            }
            for point in found.points
        ],
        "warnings": list(found.warnings),
        "unfinished": found.unfinished and found.unfinished.document(),
    }


def rows(found: Phases) -> list[dict[str, Any]]:
    """One row a segment, keyed by `COLUMNS`; the last has no `end_low` and `end_high`: the run ends there."""
    points, last = found.points, len(found.segments) - 1
    return [
        {
            "segment": number,
            "phase": segment.name,
            "start": points[segment.first].position,
            "end": points[segment.last].position,
            "start_step": points[segment.first].step,
            "end_step": points[segment.last].step,
            "end_low": None if number == last else points[segment.earliest].position,
            "end_high": None if number == last else points[segment.latest].position,
            "log_rank_change": finite(segment.rank_change),
            "log_rank_stderr": finite(segment.rank_stderr),
            "alpha_change": finite(segment.alpha_change),
            "alpha_stderr": finite(segment.alpha_stderr),
        }
        for number, segment in enumerate(found.segments)
    ]
