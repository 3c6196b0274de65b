"""The early spectrum of several runs against the tokens that each needs to a loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from spectra_cli.analysis.forecast.over_runs import Forecast
from spectra_cli.analysis.forecast.request import ForecastRequest
from spectra_cli.analysis.forecast.rows import CENSORED, EXCLUDED, REACHED, RunRow
from spectra_cli.analysis.run import Run
from spectra_cli.core.errors import DataError
from spectra_cli.core.words.numbers import count
from spectra_cli.render.figures.figure import MUTED, Axis, Figure, Ink, Look, Mark, Panel, Series, Symbol
from spectra_cli.render.figures.parts.captions import probe_words
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.statistics.registry import DEFINITIONS
from spectra_cli.workflows.forecast import forecast

_SPECTRUM = "spectrum"


def figure(request: PlotRequest) -> Figure:
    """Early predictor against tokens to the target, and what left-out runs were predicted to need.

    Raises:
        SpectraError: no loss, positions or spectra to go by, in any run.
    """
    found = forecast(
        ForecastRequest(
            archives=request.archives,
            statistic=request.only("statistics", "--statistic"),
            layers=request.layers or "last-third",
            loss=request.loss,
            target_loss=request.at,
        )
    )
    return figure_of_forecast(found, request.opened()[0])


def figure_of_forecast(found: Forecast, run: Run) -> Figure:
    """A forecast that was made already; `run`: one of its runs, for the probe that all share.

    Raises:
        DataError: none of the runs can be drawn.
    """
    families = list(dict.fromkeys(row.family for row in found.rows))
    against = _against(found, families)
    if not against.series and not against.marks:
        why = " ".join(_rows_words(found.rows))
        raise DataError(f"none of these runs can be drawn. {why}")
    left_out = _left_out(found, families)
    return Figure(
        name="forecast",
        title=f"{found.unit[:1].upper()}{found.unit[1:]} to {found.loss} loss {found.target:.4f} "
        f"from the early {_predictor(found)}",
        panels=(against, *([left_out] if left_out is not None else [])),
        columns=1 if left_out is None else 2,
        caption=(
            *_evidence_words(found),
            f"Early: the last checkpoint within the first {count(round(found.early))} {found.early_unit}.",
            *_rows_words(found.rows),
            probe_words(run.series.provenance),
            *(f"{words[:1].upper()}{words[1:].rstrip('.')}." for words in found.notices),
            "An association over these runs, not a mechanism.",
        ),
    )


def _against(found: Forecast, families: Sequence[str]) -> Panel:
    series, marks = [], []
    for place, family in enumerate(families):
        ink = Ink(category=place)
        reached = [row for row in found.rows if row.family == family and row.outcome == REACHED]
        if reached:
            y = np.array([row.to_target for row in reached])
            series.append(
                Series(
                    x=np.array([row.predictor for row in reached]),
                    y=y,
                    ink=ink,
                    look=Look.POINTS,
                    label=family if len(families) > 1 else "",
                    names=tuple(row.name for row in reached),
                )
            )
            series += _line(found, reached, ink)
        marks += list(_not_reached([row for row in found.rows if row.family == family], ink))
    title = _predictor(found)
    return Panel(
        title=f"early {title}, and {found.unit} to the target",
        x=Axis(label=f"early {title}"),
        y=Axis(label=f"{found.unit} to the target", log=True),
        series=series,
        marks=marks,
    )


def _predictor(found: Forecast) -> str:
    """What the forecast is made from, in words."""
    return DEFINITIONS[found.statistic].title if found.statistic in DEFINITIONS else found.statistic


def _line(found: Forecast, reached: Sequence[RunRow], ink: Ink) -> Iterator[Series]:
    """The common slope through the mean of a family."""
    slope = found.evidence.slope if found.evidence is not None else None
    if slope is None or len(reached) < 2:
        return
    x = np.array([row.predictor for row in reached])
    middle = np.log([row.to_target for row in reached]).mean()
    ends = np.array([x.min(), x.max()])
    yield Series(x=ends, y=np.exp(middle + slope.value * (ends - x.mean())), ink=ink, look=Look.DASHED)


def _not_reached(rows: Sequence[RunRow], ink: Ink) -> Iterator[Mark]:
    """Runs that stopped before the target stand where they stopped; what they are predicted, above."""
    for row in rows:
        if row.outcome != CENSORED or not math.isfinite(row.predictor):
            continue
        yield Mark(
            x=row.predictor, y=row.seen, symbol=Symbol.WITHHELD, ink=ink, text=f"{row.name}, not reached"
        )
        if row.prediction is not None and math.isfinite(row.prediction.value):
            told = f"{row.name}, predicted"
            yield Mark(x=row.predictor, y=row.prediction.value, symbol=Symbol.TURN, ink=ink, text=told)


def _left_out(found: Forecast, families: Sequence[str]) -> Panel | None:
    """What each run was predicted to need by a line through the others; None where there is no such line."""
    errors = found.evidence.errors if found.evidence is not None else ()
    residuals = next((one.residuals for one in errors if one.name == _SPECTRUM), ())
    rows = _fitted(found)
    if not residuals or len(residuals) != len(rows):
        return None
    actual = np.array([row.to_target for row in rows])
    predicted = actual * np.exp(-np.array(residuals))
    ends = np.array([min(actual.min(), predicted.min()), max(actual.max(), predicted.max())])
    series = [Series(x=ends, y=ends, ink=MUTED, look=Look.DASHED)]
    for place, family in enumerate(families):
        own = np.array([row.family == family for row in rows])
        if own.any():
            names = tuple(row.name for row in rows if row.family == family)
            series.append(
                Series(
                    x=actual[own], y=predicted[own], ink=Ink(category=place), look=Look.POINTS, names=names
                )
            )
    return Panel(
        title="left out one at a time",
        x=Axis(label=f"{found.unit} needed", log=True),
        y=Axis(label=f"{found.unit} predicted from the others", log=True),
        series=series,
    )


def _fitted(found: Forecast) -> list[RunRow]:
    """The runs of the regressions: those that reached the target, of families with two such runs."""
    reached = [row for row in found.rows if row.role == "known" and row.outcome == REACHED]
    families = [row.family for row in reached]
    return [row for row in reached if families.count(row.family) > 1]


def _evidence_words(found: Forecast) -> list[str]:
    if found.evidence is None:
        return ["Fewer than two usable runs: nothing can be said."]
    told = f"Spearman {found.evidence.rank.value:.2f} over {found.evidence.num_runs} runs"
    if math.isfinite(found.evidence.rank.p_value):
        told += f", p = {found.evidence.rank.p_value:.2g}"
    return [f"{told}.", *([f"{found.evidence.why_less.rstrip('.')}."] if found.evidence.why_less else [])]


def _rows_words(rows: Sequence[RunRow]) -> list[str]:
    left_out = [f"{row.name} ({row.reason})" for row in rows if row.outcome == EXCLUDED]
    intervals = [
        f"{row.name} {count(round(row.prediction.value))}, {row.prediction.level:.0%} interval "
        f"{_end(row.prediction.low)} to {_end(row.prediction.high)}"
        for row in rows
        if row.prediction is not None and math.isfinite(row.prediction.value)
    ]
    return [
        *([f"Predicted: {'; '.join(intervals)}."] if intervals else []),
        *([f"Left out: {'; '.join(left_out)}."] if left_out else []),
    ]


def _end(number: float) -> str:
    return count(round(number)) if math.isfinite(number) else "without end"
