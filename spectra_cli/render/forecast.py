"""The forecast of several runs: its tables, its JSON document, and a row a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.core.words.numbers import finite
from spectra_cli.render.output import Output
from spectra_cli.render.tables.forecast import CAVEATS, tables

if TYPE_CHECKING:
    from spectra_cli.analysis.forecast.evidence import ForecastEvidence
    from spectra_cli.analysis.forecast.over_runs import Forecast
    from spectra_cli.analysis.forecast.rows import RunRow

SCHEMA = "spectra.forecast/1"
COLUMNS = (
    "run",
    "role",
    "family",
    "outcome",
    "batch_size_tokens",
    "learning_rate",
    "width",
    "early_step",
    "early",
    "early_loss",
    "predictor",
    "stderr",
    "status",
    "to_target",
    "seen",
    "predicted",
    "predicted_low",
    "predicted_high",
    "outside",
    "reason",
)
"""Columns of the CSV table, one row a run."""


def output(found: Forecast) -> Output:
    """The forecast of several runs, for every form."""
    return Output(
        tables=lambda: tables(found),
        document=lambda: document(found),
        columns=COLUMNS,
        rows=lambda: rows(found),
        notices=found.notices,
    )


def document(found: Forecast) -> dict[str, Any]:
    """The JSON document of several runs."""
    evidence = found.evidence
    return {
        "schema": SCHEMA,
        "kind": "between_runs",
        "unit": found.unit,
        "loss": found.loss,
        "target_loss": found.target,
        "target_given": found.target_given,
        "early": found.early,
        "early_unit": found.early_unit,
        "statistic": found.statistic,
        "runs": [{**row, "archive": str(r.path), "layers": list(r.layers)} for row, r in _rows(found)],
        "association": None if evidence is None else _association_document(evidence),
        "predictors": [
            {
                "name": error.name,
                "q_squared": finite(error.predictive),
                "error": finite(error.error),
                "reason": error.reason,
            }
            for error in (() if evidence is None else evidence.errors)
        ],
        "gain": _gain_document(evidence),
        "notices": list(found.notices),
        "unfinished": {name: owed.document() for name, owed in found.unfinished.items()},
        "caveats": list(CAVEATS),
    }


def rows(found: Forecast) -> list[dict[str, Any]]:
    """One row a run, keyed by `COLUMNS`."""
    return [row for row, _ in _rows(found)]


def _rows(found: Forecast) -> Iterator[tuple[dict[str, Any], RunRow]]:
    for row in found.rows:
        prediction = row.prediction
        yield (
            {
                "run": row.name,
                "role": row.role,
                "family": row.family,
                "outcome": row.outcome,
                "batch_size_tokens": finite(row.batch_tokens),
                "learning_rate": finite(row.learning_rate),
                "width": row.width or None,
                "early_step": row.early_step,
                "early": finite(row.early),
                "early_loss": finite(row.early_loss),
                "predictor": finite(row.predictor),
                "stderr": finite(row.stderr),
                "status": row.status.value,
                "to_target": finite(row.to_target),
                "seen": row.seen,
                "predicted": None if prediction is None else finite(prediction.value),
                "predicted_low": None if prediction is None else finite(prediction.low),
                "predicted_high": None if prediction is None else finite(prediction.high),
                "outside": None if prediction is None else prediction.outside,
                "reason": row.reason,
            },
            row,
        )


def _association_document(evidence: ForecastEvidence) -> dict[str, Any]:
    slope = evidence.slope
    return {
        "num_runs": evidence.num_runs,
        "num_families": evidence.num_families,
        "num_fitted": evidence.num_fitted,
        "spearman": finite(evidence.rank.value),
        "p_value": finite(evidence.rank.p_value),
        "p_exact": evidence.rank.exact,
        "smallest_p": evidence.smallest_p,
        "kendall": finite(evidence.kendall),
        "partial_spearman": finite(evidence.partial_rank),
        "pearson": finite(evidence.linear.value),
        "pearson_low": finite(evidence.linear.low),
        "pearson_high": finite(evidence.linear.high),
        "slope": None if slope is None else finite(slope.value),
        "slope_stderr": None if slope is None else finite(slope.stderr),
        "reliability": None if slope is None else finite(slope.reliability),
        "family_left_out_q_squared": finite(evidence.family_left_out),
        "why_less": evidence.why_less,
    }


def _gain_document(evidence: ForecastEvidence | None) -> dict[str, Any] | None:
    if evidence is None or evidence.gain is None:
        return None
    gain = evidence.gain
    return {
        "baseline": gain.baseline,
        "q_squared_without": finite(gain.without),
        "q_squared_with": finite(gain.with_spectrum),
        "value": finite(gain.value),
        "stderr": finite(gain.stderr),
    }
