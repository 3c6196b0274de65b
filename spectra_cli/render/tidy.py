"""Statistics as tidy rows: one value a row, for CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from spectra_cli.core.types import CheckpointRef, StatisticValue
from spectra_cli.render.neutral import for_csv

COLUMNS = (
    "run",
    "checkpoint",
    "step",
    "tokens_seen",
    "measurement",
    "site",
    "layer",
    "component",
    "statistic",
    "value",
    "stderr",
    "unit",
    "status",
    "reason",
    "window_lo",
    "window_hi",
    "r_squared",
)
"""Columns of the tidy table. `site` is empty for numbers of the whole model."""


def tidy_rows(
    ref: CheckpointRef, tokens_seen: int | None, statistics: Iterable[StatisticValue]
) -> Iterator[dict[str, Any]]:
    """One mapping a statistic, keyed by `COLUMNS`, plus all `details`; a missing number is None."""
    for value in statistics:
        yield {
            "run": ref.run,
            "checkpoint": ref.key,
            "step": ref.step,
            "tokens_seen": tokens_seen,
            "measurement": value.measurement,
            "site": "" if value.site is None else value.site.address,
            "layer": None if value.site is None else value.site.layer,
            "component": "" if value.site is None else value.site.component,
            "statistic": value.name,
            "value": finite(value.value),
            "stderr": finite(value.stderr),
            "unit": value.unit,
            "status": value.status.value,
            "reason": value.reason,
            "window_lo": finite(value.details.get("window_lo")),
            "window_hi": finite(value.details.get("window_hi")),
            "r_squared": finite(value.details.get("r_squared")),
            "details": {name: finite(number) for name, number in value.details.items()},
        }


def finite(number: float | None) -> float | None:
    """The number, or None where there is none: JSON and CSV know no NaN."""
    return None if number is None or not math.isfinite(number) else number


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """The rows as CSV with a header; numbers in full precision, empty cells for missing ones.

    No text acts on a terminal or starts a formula (`neutral.for_csv`); JSON has it as it is.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else for_csv(str(value))


def as_json(document: Mapping[str, Any]) -> str:
    """A document as JSON text, in full precision; a NaN in it is a defect, and raises."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
