"""The tables of a forecast of several runs, and its evidence in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spectra_cli.core.words.numbers import count, finite, loss, rate, with_error
from spectra_cli.core.words.plurals import counted
from spectra_cli.render.table import Line, Part, Table, from_columns, key, line, number

if TYPE_CHECKING:
    from spectra_cli.analysis.forecast.evidence import ForecastEvidence, Prediction
    from spectra_cli.analysis.forecast.over_runs import Forecast
    from spectra_cli.analysis.forecast.rows import RunRow

CAVEATS = (
    (
        "An association over these runs, not a mechanism: batch size and learning rate move both the "
        "spectrum and the tokens needed."
    ),
    (
        "A study of 108 models (arXiv 2602.20433) finds that effective rank mostly reflects hyper-parameters "
        "and does not reliably predict quality: read this as tokens to a loss, never as downstream scores."
    ),
    (
        "Fix layers, statistic and moment before looking: whoever tries several and keeps the best has no "
        "p-value."
    ),
)


def tables(found: Forecast) -> Iterator[Part]:
    """Everything there is to say."""
    yield from _heading(found)
    yield _table(found)
    if found.evidence is None:
        yield line("")
        yield line("fewer than two usable runs: nothing can be said", style="yellow")
    else:
        yield from _association(found, found.evidence)
        if found.evidence.errors:
            yield _errors(found.evidence)
    for notice in found.notices:
        yield line(f"note: {notice}", style="yellow")
    yield line("")
    yield from (line(caveat, style="dim") for caveat in CAVEATS)


def _heading(found: Forecast) -> Iterator[Line]:
    how = "given" if found.target_given else "the lowest that all runs reach"
    yield line(f"{found.unit} to {found.loss} loss {found.target:.4f} ({how})", style="bold")
    layers = sorted({row.layers for row in found.rows if row.layers})
    where = f", mean of {'; '.join(layers_words(one) for one in layers)}," if layers else ""
    yield line(
        f"from {found.statistic}{where} at the last checkpoint within the first "
        f"{count(round(found.early))} {found.early_unit}; ± is one standard error"
    )


def layers_words(layers: tuple[int, ...]) -> str:
    """Layers that a number is the mean of.

    >>> layers_words((3,)), layers_words((8, 9, 10)), layers_words((0, 4))
    ('layer 3', 'layers 8-10', 'layers 0,4')
    """
    if len(layers) == 1:
        return f"layer {layers[0]}"
    if layers == tuple(range(layers[0], layers[-1] + 1)):
        return f"layers {layers[0]}-{layers[-1]}"
    return f"layers {','.join(map(str, layers))}"


def _table(found: Forecast) -> Table:
    rows = sorted(found.rows, key=_by_outcome)
    columns = {
        "run": [f"{row.name} (new)" if row.role == "new" else row.name for row in rows],
        "family": [row.family for row in rows],
        "batch": [_count(row.batch_tokens) for row in rows],
        "learning\nrate": [rate(finite(row.learning_rate)) for row in rows],
        f"early\n{found.unit}": [_count(row.early) for row in rows],
        "early\nloss": [loss(finite(row.early_loss)) for row in rows],
        "early\nexponent" if "exponent" in found.statistic else "early\nnumber": [
            with_error(row.predictor, row.stderr) + _MARKS.get(row.status.value, "") for row in rows
        ],
        f"{found.unit}\nto target": [_to_target(row) for row in rows],
        "predicted": [_predicted(row.prediction) for row in rows],
    }
    if len({row.family for row in rows}) == 1:
        del columns["family"]
    notes = [
        line(f"excluded: {row.name}: {row.reason}", style="yellow")
        for row in rows
        if row.outcome == "excluded"
    ]
    return from_columns(
        columns,
        title=f"{counted(len(rows), 'run')}, fewest {found.unit} first",
        left=("family",),
        notes=[*notes, *_reasons(rows)],
    )


def _reasons(rows: Sequence[RunRow]) -> Iterator[Line]:
    """What the marks beside early numbers mean, each with its first reason."""
    for status, mark in _MARKS.items():
        marked = [row for row in rows if row.status.value == status and math.isfinite(row.predictor)]
        if marked:
            names = ", ".join(row.name for row in marked)
            reason = next((f": {row.reason}" for row in marked if row.reason), "")
            yield line(f"{mark} {status} ({names}){reason}", style="dim")


_MARKS = {"partial": "*", "below_floor": "!"}
_ORDER = {"reached": 0, "censored": 1, "excluded": 2}


def _by_outcome(row: RunRow) -> tuple[int, float]:
    return _ORDER[row.outcome], row.to_target if math.isfinite(row.to_target) else 0.0


def _count(number: float) -> str:
    return count(round(number) if math.isfinite(number) else None)


def _to_target(row: RunRow) -> str:
    if row.outcome == "excluded":
        return "excluded"
    if math.isfinite(row.to_target):
        return _count(row.to_target)
    return f"> {_count(row.seen)}"


def _predicted(prediction: Prediction | None) -> str:
    if prediction is None:
        return "-"
    outside = " (outside)" if prediction.outside else ""
    return f"{_count(prediction.value)} [{_end(prediction.low)}, {_end(prediction.high)}]{outside}"


def _end(number: float) -> str:
    return count(round(number)) if math.isfinite(number) else "∞"


def _association(found: Forecast, evidence: ForecastEvidence) -> Iterator[Line]:
    censored = sum(row.outcome == "censored" and row.role == "known" for row in found.rows)
    families = f" in {evidence.num_families} families" if evidence.num_families > 1 else ""
    lines = [f"{counted(evidence.num_runs, 'run')}{families}, {censored} censored (last in the ranks)"]
    lines.append(
        f"Spearman {_signed(evidence.rank.value)}{_p(evidence)}; Kendall {_signed(evidence.kendall)}"
    )
    if math.isfinite(evidence.partial_rank):
        lines[-1] += f"; Spearman given all baselines {_signed(evidence.partial_rank)}"
    if math.isfinite(evidence.linear.value):
        span = f"{_signed(evidence.linear.low)} to {_signed(evidence.linear.high)}"
        interval = f" (95 %: {span})" if math.isfinite(evidence.linear.low) else " (no interval from so few)"
        lines.append(f"Pearson {_signed(evidence.linear.value)}{interval}, on log {found.unit}")
    if evidence.slope is not None:
        slope = evidence.slope
        if not math.isfinite(slope.reliability):
            shrunk = "; the number has no standard error, so that its shrinking is unknown"
        elif slope.reliability <= 0:
            shrunk = "; the number's noise is as large as its spread over the runs: the slope tells nothing"
        else:
            lost = 100 * (1 - slope.reliability)
            shrunk = f"; noise in the number shrinks it by {f'{lost:.0f}' if lost >= 1 else 'less than 1'} %"
        lines.append(f"slope {with_error(slope.value, slope.stderr)} in log {found.unit}{shrunk}")
    if evidence.why_less:
        lines.append(evidence.why_less)
    yield line("")
    yield line("Association", style="bold")
    yield from map(line, lines)


def _signed(value: float) -> str:
    return f"{value:+z.2f}" if math.isfinite(value) else "-"


def _p(evidence: ForecastEvidence) -> str:
    if not math.isfinite(evidence.rank.p_value):
        return f" (no p-value: the smallest that so few can have is {evidence.smallest_p:.2g})"
    how = "all" if evidence.rank.exact else "50,000 random"
    return f" (p = {evidence.rank.p_value:.2g}, {how} orderings within families)"


def _errors(evidence: ForecastEvidence) -> Table:
    missing = dict.fromkeys(error.reason for error in evidence.errors if error.reason)
    notes = [f"-: {reason}" for reason in missing]
    if math.isfinite(evidence.family_left_out):
        notes.append(f"with the slope of the other families: Q² {evidence.family_left_out:+z.2f}")
    return Table(
        title=f"Each run forecast from the other {evidence.num_fitted - 1} (Q² = 1 perfect, 0 as the mean)",
        columns=[key("predicted from"), number("Q²"), number("typical\nerror")],
        rows=[
            [
                error.name,
                f"{error.predictive:+z.2f}" if math.isfinite(error.predictive) else "-",
                f"x {math.exp(error.error):.2f}" if math.isfinite(error.error) else "-",
            ]
            for error in evidence.errors
        ],
        notes=[*map(line, notes), line(_headline(evidence), style="bold")],
    )


def _headline(evidence: ForecastEvidence) -> str:
    gain = evidence.gain
    if gain is None or not math.isfinite(gain.value):
        return "the spectrum cannot be held against a baseline"
    value = "+" * (gain.value > 0) + with_error(gain.value, gain.stderr, digits=2)
    told = f"{value} in Q² over the best baseline ({gain.baseline}, {gain.without:+z.2f})"
    if not any("early loss" in each.name for each in evidence.errors):
        told += "; early loss was not among them"
    if gain.value <= 0:
        return f"the spectrum adds nothing: {told}"
    return f"the spectrum adds{'' if gain.value > gain.stderr else ' nothing beyond its error:'} {told}"
