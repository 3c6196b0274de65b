"""A spectrum, printed: what it is of, its ends, and its statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.core.types import SpectrumKind, StatisticValue
from spectra_cli.core.words.numbers import with_error
from spectra_cli.core.words.places import place_words
from spectra_cli.render.output import Fields, Output
from spectra_cli.render.table import Part, Table, key, line, number, words
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate

if TYPE_CHECKING:
    from spectra_cli.api.values.spectrum import MeasuredSpectrum

SCHEMA = "spectra.spectrum/1"
_STATISTIC = Fields("statistic=name value stderr status reason")
COLUMNS = ("rank", "value")
"""Columns of the rows: one a value."""


def output(found: MeasuredSpectrum) -> Output:
    """A spectrum, for every form."""
    rows = [{"rank": rank, "value": float(value)} for rank, value in enumerate(found.values, start=1)]
    return Output(
        tables=lambda: tables(found), document=lambda: document(found), columns=COLUMNS, rows=lambda: rows
    )


def tables(found: MeasuredSpectrum) -> Iterator[Part]:
    """What it is, and the statistics that are shown of it unasked."""
    one = found.spectrum
    kind = "singular values" if one.kind is SpectrumKind.SINGULAR_VALUES else "eigenvalues"
    step = "unknown step" if found.step is None else f"step {found.step}"
    yield line(
        (f"{place_words(one.measurement, one.site)}, {step}", "bold"),
        f": {one.values.size} {kind} from {one.values[0]:.4g} to {one.values[-1]:.4g}"
        f"{f', {one.num_zero} numerically zero' if one.num_zero else ''}; {one.num_samples} rows of "
        f"{one.ambient_dim} dimensions",
    )
    values = _statistics(found)
    yield Table(
        columns=[key("statistic"), number("value"), words("status")],
        rows=[[value.name, with_error(value.value, value.stderr), _standing(value)] for value in values],
    )


def document(found: MeasuredSpectrum) -> dict[str, Any]:
    """Its values and statistics as JSON values."""
    one = found.spectrum
    return {
        "schema": SCHEMA,
        "step": found.step,
        "measurement": one.measurement,
        "site": one.site.address,
        "kind": one.kind.value,
        "values": [float(value) for value in one.values],
        "statistics": list(map(_STATISTIC.of, _statistics(found))),
    }


def _statistics(found: MeasuredSpectrum) -> list[StatisticValue]:
    return [
        evaluate(statistic, found.spectrum, step=found.step)
        for statistic in STATISTICS.values()
        if found.spectrum.measurement in statistic.measurements and statistic.by_default(found.spectrum)
    ]


def _standing(value: StatisticValue) -> str:
    return f"{value.status.value}: {value.reason}" if value.reason else value.status.value
