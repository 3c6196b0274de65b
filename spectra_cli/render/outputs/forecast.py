"""The forecast of several runs: its tables, its JSON document, and a row a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spectra_cli.render.output import Fields, Output
from spectra_cli.render.tables.forecast import CAVEATS, tables

if TYPE_CHECKING:
    from spectra_cli.analysis.forecast.over_runs import Forecast
    from spectra_cli.analysis.forecast.rows import RunRow

SCHEMA = "spectra.forecast/1"
_ROW = Fields(
    "run=name role family outcome batch_size_tokens=batch_tokens learning_rate width early_step early "
    "early_loss predictor stderr status to_target seen predicted=prediction.value "
    "predicted_low=prediction.low predicted_high=prediction.high outside=prediction.outside reason"
)
_ASSOCIATION = Fields(
    "num_runs num_families num_fitted spearman=rank.value p_value=rank.p_value p_exact=rank.exact smallest_p "
    "kendall partial_spearman=partial_rank pearson=linear.value pearson_low=linear.low "
    "pearson_high=linear.high slope=slope.value slope_stderr=slope.stderr reliability=slope.reliability "
    "family_left_out_q_squared=family_left_out why_less"
)
_PREDICTOR = Fields("name q_squared=predictive error reason")
_GAIN = Fields("baseline q_squared_without=without q_squared_with=with_spectrum value stderr")
COLUMNS = _ROW.names
"""Columns of the CSV table, one row a run."""


def output(found: Forecast) -> Output:
    """The forecast of several runs, for every form."""
    return Output.of(found, tables, document, COLUMNS, rows, found.notices)


def document(found: Forecast) -> dict[str, Any]:
    """The JSON document of several runs."""
    evidence = found.evidence
    return {
        "schema": SCHEMA,
        "kind": "between_runs",
        **Fields("unit loss target_loss=target target_given early early_unit statistic").of(found),
        "runs": [_row(row) | Fields("archive=path layers").of(row) for row in found.rows],
        "association": None if evidence is None else _ASSOCIATION.of(evidence),
        "predictors": [] if evidence is None else list(map(_PREDICTOR.of, evidence.errors)),
        "gain": None if evidence is None or evidence.gain is None else _GAIN.of(evidence.gain),
        **Fields("notices unfinished").of(found),
        "caveats": list(CAVEATS),
    }


def rows(found: Forecast) -> list[dict[str, Any]]:
    """One row a run, keyed by `COLUMNS`."""
    return list(map(_row, found.rows))


def _row(row: RunRow) -> dict[str, Any]:
    return _ROW.of(row) | {"width": row.width or None}
