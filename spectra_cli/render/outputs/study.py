"""A study: its tables, its JSON document, and a row a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spectra_cli.core.words.numbers import finite
from spectra_cli.render.output import Fields, Output
from spectra_cli.render.outputs import compare, forecast
from spectra_cli.render.tables import taxonomy, trend
from spectra_cli.render.tables.study import by_name, tables

if TYPE_CHECKING:
    from spectra_cli.analysis.batch_size.signature import SignatureRow
    from spectra_cli.analysis.comparison import ComparedPair
    from spectra_cli.workflows.study import Study

SCHEMA = "spectra.study/1"
_RUN = Fields("name archive optimizer batch_size_tokens learning_rate seed steps tokens loss reached")
COLUMNS = _RUN.names
"""Columns of the CSV table, and keys of a run in the JSON document."""


def output(found: Study) -> Output:
    """A study, for every form."""
    return Output.of(found, tables, document, COLUMNS, rows, found.notices)


def document(found: Study) -> dict[str, Any]:
    """The JSON document of `spectra study`: schema `spectra.study/1`."""
    comparison = found.comparison
    pairs = by_name(comparison) if found.study == "taxonomy" else {}
    seeds = by_name(found.over_seeds)
    return {
        "schema": SCHEMA,
        **Fields("study folder target_loss notices").of(found),
        "runs": rows(found),
        "signature": [_signature_fields(row) for row in found.signature],
        "interventions": [
            {
                "run": name,
                "known_side": found.interventions.get(name, ""),
                "taxonomy": _classified(pair),
                "over_seeds": _classified(seeds.get(name) if name in found.interventions else None),
            }
            for name, pair in pairs.items()
        ],
        "comparison": None if comparison is None else compare.document(comparison),
        "forecast": None if found.forecast is None else forecast.document(found.forecast),
    }


def rows(found: Study) -> list[dict[str, Any]]:
    """One row a run, keyed by `COLUMNS`."""
    return list(map(_RUN.of, found.runs))


def _classified(pair: ComparedPair | None) -> list[dict[str, Any]]:
    return [] if pair is None else [taxonomy.as_document(one) for one in pair.taxonomy]


def _signature_fields(row: SignatureRow) -> dict[str, Any]:
    (of_trend,) = trend.as_document([row.trend])
    return {
        "means": [{"batch_size_tokens": size, "mean": finite(mean)} for size, mean in row.means.items()],
        **Fields("probe_error=noise seed_spread").of(row),
        "trend": of_trend,
    }
