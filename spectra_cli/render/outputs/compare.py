"""A comparison of runs: its tables, its JSON document, and its differences as tidy rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from spectra_cli.render.output import Fields, Output
from spectra_cli.render.tables.compare import tables
from spectra_cli.render.tables.taxonomy import as_document as taxonomy_document
from spectra_cli.render.tables.trend import as_document as trend_document

if TYPE_CHECKING:
    from spectra_cli.analysis.alignment import AlignedPoint
    from spectra_cli.analysis.comparison import Comparison
    from spectra_cli.analysis.run import Run

SCHEMA = "spectra.compare/1"
_DIFFERENCE = Fields(
    "measurement site=site.address other_site=other.address layer=site.layer component=site.component "
    "statistic target first=found.first second=found.second delta=found.delta stderr=found.stderr z "
    "floor=found.floor floor_is margin=found.margin degrees=found.degrees paired=found.paired "
    "p_value=found.p_value adjusted_p_value=found.adjusted verdict=standing interpolated reason"
)
_ROTATION = Fields(
    "measurement site=site.address side rank=turn.rank overlap=turn.overlap chance=turn.chance "
    "mean_degrees=turn.mean_degrees max_degrees=turn.max_degrees reason"
)
COLUMNS = ("first_run", "second_run", *_DIFFERENCE.names)
"""Columns of the table of differences, and keys of a difference in the JSON document."""


def output(comparison: Comparison, *, lists_evidence: bool = False) -> Output:
    """A comparison, for every form; `lists_evidence`: of the taxonomy, in the tables."""
    of_pairs = dict.fromkeys(note for pair in comparison.pairs for note in pair.notes)
    shown = partial(tables, lists_evidence=lists_evidence)
    notices = (*comparison.alignment.notes, *of_pairs)
    return Output.of(comparison, shown, document, COLUMNS, rows, notices)


def rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """One mapping a difference, keyed by `COLUMNS`; a missing number is None."""
    for pair in comparison.pairs:
        first, second = (comparison.runs[place].name for place in (pair.first, pair.second))
        for one in pair.differences:
            yield {"first_run": first, "second_run": second, **_DIFFERENCE.of(one)}


def document(comparison: Comparison) -> dict[str, Any]:
    """The JSON document of `spectra compare`: schema `spectra.compare/1`."""
    alignment = comparison.alignment
    return {
        "schema": SCHEMA,
        "runs": [_run_fields(run) for run in comparison.runs],
        "alignment": {
            "axis": alignment.axis.value,
            "loss": None if alignment.loss is None else alignment.loss.value,
            "matched": alignment.is_matched,
            "notes": list(alignment.notes),
            "points": [_point_fields(comparison.runs, point) for point in alignment.points],
        },
        "pairs": [
            {
                "first": comparison.runs[pair.first].name,
                "second": comparison.runs[pair.second].name,
                "paired": pair.paired,
                "notes": list(pair.notes),
                "verdict": list(pair.verdict),
                "counts": asdict(pair.counts),
                "taxonomy": [taxonomy_document(one) for one in pair.taxonomy],
                "no_taxonomy": pair.no_taxonomy,
                "rotations": list(map(_ROTATION.of, pair.rotations)),
                "no_rotation": pair.no_rotation,
                "rotated": [asdict(one) for one in pair.rotated],
                "differences": list(map(_DIFFERENCE.of, pair.differences)),
            }
            for pair in comparison.pairs
        ],
        "trend": {
            "reason": comparison.trend.reason,
            "caveats": list(comparison.trend.caveats),
            "numbers": trend_document(comparison.trend.trends),
        },
    }


def _run_fields(run: Run) -> dict[str, Any]:
    info = run.infos[-1]
    return {
        "name": run.name,
        "archive": str(run.series.path),
        "architecture": info.architecture,
        "num_parameters": info.num_parameters,
        "batch_size_tokens": run.batch_size_tokens,
        "num_checkpoints": len(run),
        "unfinished": run.series.unfinished and run.series.unfinished.document(),
        "probe": run.series.provenance.probe.digest,
    }


def _point_fields(runs: Sequence[Run], point: AlignedPoint) -> dict[str, Any]:
    return {
        "target": point.target,
        "gap": point.gap,
        "places": [
            {
                "run": run.name,
                "before": run.series.refs[place.bracket.before].key,
                "after": run.series.refs[place.bracket.after].key,
                "share": place.bracket.share,
                "to_nearer": place.bracket.gap,
                "gap": place.gap,
            }
            for run, place in zip(runs, point.places, strict=True)
        ],
    }
