"""A single run's loss curve beyond its end: table, JSON document, CSV rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spectra_cli.core.words.numbers import count, finite
from spectra_cli.render.output import Fields, Output
from spectra_cli.render.outputs.forecast import SCHEMA
from spectra_cli.render.table import Part, Table, key, line, number
from spectra_cli.render.tables.forecast import layers_words

if TYPE_CHECKING:
    from spectra_cli.analysis.forecast.extrapolation import BackTest, CurveForecast, Extrapolation
    from spectra_cli.analysis.forecast.regression import Interval

CAVEATS = (
    (
        "A single run continued from its own past: it holds as long as data, batch size and schedule go on "
        "as they were, and says nothing about other runs."
    ),
    (
        "The interval is of the residuals around this one form of curve; a form that is wrong is not in it. "
        "The errors on the held part are the better guide."
    ),
)
_OF_RUN = Fields(
    "run=name archive=path unit loss num_points first last last_loss target_loss=target "
    "target_reached=reached started_below statistic layers level"
)
_FIT = Fields(
    "name floor=curve.floor scale=curve.scale exponent=curve.exponent slope=curve.slope residuals=spread"
)
_INTERVAL = Fields("value low high")
_BACK_TEST = Fields("num_fitted num_held last_fitted curve with_spectrum=with_covariate unchanged")
COLUMNS = ("fit", "quantity", "at", *_INTERVAL.names)
"""Columns of the CSV table: predicted losses `at` a position, and the position of the target loss."""
# Of the error: less does not show in its digits.
_HELPS = 0.01
MEASURED = "measured"
BELOW = "below it from its first checkpoint"


def output(found: Extrapolation) -> Output:
    """The curve of one run, for every form."""
    return Output.of(found, tables, document, COLUMNS, rows, found.notices)


def tables(found: Extrapolation) -> Iterator[Part]:
    """Everything there is to say."""
    yield line(f"{found.name}: {found.loss} loss beyond its end, within-run extrapolation", style="bold")
    yield line(
        f"L = E + A (t/t_last)^-b through {found.num_points} checkpoints, {_count(found.first)} to "
        f"{_count(found.last)} {found.unit} (loss there {found.last_loss:.4f})"
    )
    if len(found.fits) > 1:
        yield line(f"spectrum: + c x {found.statistic}, mean of {layers_words(found.layers)}")
    if found.fits:
        yield _table(found)
    if found.test is not None:
        yield _test(found, found.test)
    else:
        yield line("")
        yield line(
            f"{found.num_points} checkpoints are too few to hold some back: the curve is untested",
            style="yellow",
        )
    for notice in found.notices:
        yield line(f"note: {notice}", style="yellow")
    yield line("")
    yield from (line(caveat, style="dim") for caveat in CAVEATS)


def _table(found: Extrapolation) -> Table:
    rows = [
        ["E, A, b", *(_parameters(fit) for fit in found.fits)],
        ["residuals", *(f"{fit.spread:.4f} nats" for fit in found.fits)],
    ]
    for place, (position, _) in enumerate(found.fits[0].losses):
        rows.append(
            [
                f"loss at {_count(position)} {found.unit}",
                *(_loss(fit.losses[place][1]) for fit in found.fits),
            ]
        )
    if found.target is not None:
        label = f"{found.unit} to loss {found.target:.4f}"
        if math.isfinite(found.reached):
            rows.append([label, *(f"{_count(found.reached)} (reached)" for _ in found.fits)])
        elif found.started_below:
            rows.append([label, *(BELOW for _ in found.fits)])
        else:
            rows.append([label, *(_tokens(fit.to_target) for fit in found.fits)])
    return Table(
        title=f"Continued, with {100 * found.level:g} % intervals",
        columns=[key(""), *(number(fit.name) for fit in found.fits)],
        rows=rows,
    )


def _parameters(fit: CurveForecast) -> str:
    curve = fit.curve
    covariate = f", c {curve.slope:+.3g}" if curve.slope else ""
    return f"{curve.floor:.4g}, {curve.scale:.4g}, {curve.exponent:.3g}{covariate}"


def _loss(found: Interval) -> str:
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def _tokens(found: Interval | None) -> str:
    if found is None:
        return "-"
    ends = [_count(end) for end in (found.low, found.high)]
    return f"{_count(found.value)} [{', '.join(ends)}]"


def _count(number: float) -> str:
    return count(round(number)) if math.isfinite(number) else "never"


def _test(found: Extrapolation, test: BackTest) -> Table:
    rows = {
        "loss curve": test.curve,
        "loss curve + spectrum": test.with_covariate,
        "last loss, unchanged": test.unchanged,
    }
    return Table(
        title=f"Fitted on the first {test.num_fitted} checkpoints "
        f"(to {_count(test.last_fitted)} {found.unit}), asked for the last {test.num_held}",
        columns=[key("back-test"), number("error (nats)")],
        rows=[[name, f"{error:.4f}" if math.isfinite(error) else "-"] for name, error in rows.items()],
        notes=[line(_verdict(test), style="bold")],
    )


def _verdict(test: BackTest) -> str:
    if not math.isfinite(test.with_covariate) or not math.isfinite(test.curve):
        return "the curve with the spectrum could not be tested"
    change = 1 - test.with_covariate / test.curve if test.curve else -math.inf
    if change > _HELPS:
        return f"on the held part the spectrum lowers the error by {100 * change:.0f} %"
    errors = f"error {test.with_covariate:.4f} with, {test.curve:.4f} without"
    return f"on the held part the spectrum does not help: {errors}"


def document(found: Extrapolation) -> dict[str, Any]:
    """The JSON document of one run."""
    return {
        "schema": SCHEMA,
        "kind": "within_run",
        **_OF_RUN.of(found),
        "fits": [
            {
                **_FIT.of(fit),
                "losses": [{"at": position, **_INTERVAL.of(loss)} for position, loss in fit.losses],
                "to_target": None if fit.to_target is None else _INTERVAL.of(fit.to_target),
            }
            for fit in found.fits
        ],
        "back_test": None if found.test is None else _BACK_TEST.of(found.test),
        **Fields("notices unfinished").of(found),
        "caveats": list(CAVEATS),
    }


def rows(found: Extrapolation) -> list[dict[str, Any]]:
    """One row a predicted number, keyed by `COLUMNS`; an empty number is infinite: never reached.

    A target that the run reached itself has one row, of the fit `measured`; without a number where the run
    was below it from its first checkpoint.
    """
    found_rows: list[dict[str, Any]] = []
    for fit in found.fits:
        found_rows += [
            {"fit": fit.name, "quantity": "loss", "at": position, **_INTERVAL.of(loss)}
            for position, loss in fit.losses
        ]
        if fit.to_target is not None:
            target = {"fit": fit.name, "quantity": found.unit, "at": found.target}
            found_rows.append({**target, **_INTERVAL.of(fit.to_target)})
    if math.isfinite(found.reached) or found.started_below:
        fit_name = f"{MEASURED}: {BELOW}" if found.started_below else MEASURED
        where = finite(found.reached)
        numbers = {"value": where, "low": where, "high": where}
        found_rows.append({"fit": fit_name, "quantity": found.unit, "at": found.target, **numbers})
    return found_rows
