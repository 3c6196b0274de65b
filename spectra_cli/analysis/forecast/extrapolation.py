"""A single run's own loss curve, continued with and without its spectrum, and judged on its last part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectra_cli.analysis.forecast.loss_curve import (
    FEWEST_POINTS,
    Continuation,
    LossCurve,
    continue_curve,
    fit_loss_curve,
)
from spectra_cli.analysis.forecast.regression import Interval
from spectra_cli.analysis.forecast.request import ForecastRequest
from spectra_cli.analysis.forecast.rows import tokens_to_target
from spectra_cli.analysis.layer_means import choose_sites, mean_over_layers, tail_statistic, width_of
from spectra_cli.analysis.run import Axis, Loss, Run, common_axis, common_loss, notices_of
from spectra_cli.core.errors import DataError
from spectra_cli.core.series import Unfinished
from spectra_cli.core.shown import Shown
from spectra_cli.core.types import FloatArray
from spectra_cli.core.words.numbers import count
from spectra_cli.core.words.plurals import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class BackTest:
    """What the curve would have said of the last part, from the first part alone.

    Attributes:
        num_fitted, num_held: points of both parts.
        last_fitted, last: tokens at their ends.
        curve, with_covariate, unchanged: root mean square errors in nats over the held part: of the curve,
            of the curve with the covariate, and of the last fitted loss kept. NaN where there is no fit.
    """

    num_fitted: int
    num_held: int
    last_fitted: float
    last: float
    curve: float
    with_covariate: float
    unchanged: float


def back_test(
    tokens: FloatArray, losses: FloatArray, covariate: FloatArray | None = None, *, share: float = 0.7
) -> BackTest | None:
    """Errors of curves fitted to the first `share` of the points on the points after them.

    Returns:
        None where the first part has fewer than `FEWEST_POINTS` points, or the rest fewer than two.
    """
    first = int(share * len(tokens))
    if first < FEWEST_POINTS or len(tokens) - first < 2:
        return None

    def error(given: FloatArray | None) -> float:
        curve = fit_loss_curve(tokens[:first], losses[:first], None if given is None else given[:first])
        return math.nan if curve is None else _root_mean_square(losses[first:] - curve.at(tokens[first:]))

    return BackTest(
        num_fitted=first,
        num_held=len(tokens) - first,
        last_fitted=float(tokens[first - 1]),
        last=float(tokens[-1]),
        curve=error(None),
        with_covariate=math.nan if covariate is None else error(covariate),
        unchanged=_root_mean_square(losses[first:] - losses[first - 1]),
    )


def _root_mean_square(values: FloatArray) -> float:
    return math.sqrt(float((values**2).mean()))


PLAIN = "loss curve"
WITH_SPECTRUM = "loss curve + spectrum"
# Warm-up and the fall after it follow another law: the fit starts at this share of the run.
SKIPPED_SHARE = 0.1
ENOUGH_POINTS = 8
HORIZONS = (1.5, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveForecast:
    """One fitted curve and what it says.

    Attributes:
        name: `loss curve` or `loss curve + spectrum`.
        curve: its parameters; spread: root mean square of its residuals, nats.
        losses: (tokens or steps, predicted loss) at multiples of the run's length.
        to_target: tokens (or steps) to the target loss; None where none was asked for, or it was reached.
    """

    name: str
    curve: LossCurve
    spread: float
    losses: tuple[tuple[float, Interval], ...]
    to_target: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Extrapolation(Shown):
    """One run's loss curve beyond its end.

    Attributes:
        name, path: of its archive.
        unit: `tokens` or `steps`; loss: which one.
        num_points, first, last: of the fit; last_loss: measured at its end.
        target: nats, or None.
        reached: where the run reached the target already; NaN where it did not, or there is none.
        started_below: the first loss there is lies below the target already: where it was reached, nothing
            tells.
        statistic, layers: of the covariate.
        level: of the intervals.
        fits: the curves that could be fitted.
        test: None with too few points.
        notices: what to know.
    """

    name: str
    path: Path
    unit: str
    loss: Loss
    num_points: int
    first: float
    last: float
    last_loss: float
    target: float | None
    reached: float
    started_below: bool
    statistic: str
    layers: tuple[int, ...]
    level: float
    fits: tuple[CurveForecast, ...]
    test: BackTest | None
    notices: tuple[str, ...]
    unfinished: Unfinished | None = None


def extrapolation_of(opened: Run, request: ForecastRequest) -> Extrapolation:
    """The loss curve of a run, beyond its end.

    Raises:
        ArchiveError: its archive is damaged.
        UsageError: a layer or statistic that it does not hold.
        DataError: no loss, no positions, or too few checkpoints for a curve.
    """
    axis = common_axis([opened])
    run = opened.along(axis)
    loss = common_loss([run], request.loss)
    losses, positions = run.losses(loss), run.on(axis)
    target = request.target_loss
    reached, started_below = (
        (math.nan, False) if target is None else tokens_to_target(positions, losses, target)
    )
    ahead = None if math.isfinite(reached) or started_below else target
    points = _later_part(run, positions, losses)
    tokens, values = positions[points], losses[points]
    statistic, layers, covariate, notices = _covariate(run, points, request)
    fits = []
    for name, given in ((PLAIN, None), (WITH_SPECTRUM, covariate)):
        fit = None if name != PLAIN and given is None else continue_curve(tokens, values, given)
        if fit is not None:
            fits.append(_forecast(name, fit, tokens[-1], ahead, request.level))
            notices += _dependent(name, fit)
    if covariate is not None and len(points) <= FEWEST_POINTS:
        notices.append(f"{len(points)} checkpoints are too few for a curve with the spectrum in it")
    elif covariate is not None and fits and fits[-1].name == PLAIN:
        notices.append("no falling curve with the spectrum in it fits these losses")
    if tokens[0] < SKIPPED_SHARE * positions[-1]:
        notices.append(
            f"too few checkpoints after the first tenth of the run: the last {len(points)} are fitted, from "
            f"{count(round(tokens[0]))} {axis.unit} on, where another law may hold"
        )
    if not fits:
        notices.append("no falling curve fits these losses: nothing is extrapolated")
    return Extrapolation(
        name=run.name,
        path=run.series.path,
        unit=axis.unit,
        loss=loss,
        num_points=len(points),
        first=float(tokens[0]),
        last=float(tokens[-1]),
        last_loss=float(values[-1]),
        target=target,
        reached=reached,
        started_below=started_below,
        statistic=statistic,
        layers=layers,
        level=request.level,
        fits=tuple(fits),
        test=back_test(tokens, values, covariate),
        notices=(*notices_of([run]), *notices, *_about(run, points, axis)),
        unfinished=run.series.unfinished,
    )


def _later_part(run: Run, positions: FloatArray, losses: FloatArray) -> list[int]:
    """Checkpoints of the fit: those after the first tenth, or the last eight where that leaves too few."""
    usable = np.flatnonzero(np.isfinite(losses) & (positions > 0))
    if usable.size < FEWEST_POINTS:
        raise DataError(
            f"{run.series.path}: {counted(usable.size, 'trained checkpoint')} with a loss and a "
            "position; a loss "
            f"curve needs {FEWEST_POINTS}. Scan more checkpoints, or give several runs to forecast from one "
            "another."
        )
    later = usable[positions[usable] >= SKIPPED_SHARE * positions[-1]]
    chosen = later if later.size >= ENOUGH_POINTS else usable[-ENOUGH_POINTS:]
    return [int(place) for place in chosen]


def _covariate(
    run: Run, points: Sequence[int], request: ForecastRequest
) -> tuple[str, tuple[int, ...], FloatArray | None, list[str]]:
    """The statistic's name, layers and values at the points; no values where one of them is missing."""
    checkpoints = list(run.checkpoints(points))
    statistic = tail_statistic(request.statistic, [width_of(checkpoints[0])])
    chosen = choose_sites(checkpoints, statistic, request.layers)
    values = []
    for checkpoint in checkpoints:
        mean = mean_over_layers(checkpoint, statistic, chosen)
        if mean.estimated is None:
            told = f"{checkpoint.ref.key}: {mean.reason}"
            return statistic.name, mean.layers, None, [f"no {statistic.name} to go by; {told}"]
        values.append(mean.estimated.value)
    return statistic.name, mean.layers, np.array(values), []


def _forecast(
    name: str, continued: Continuation, last: float, target: float | None, level: float
) -> CurveForecast:
    to_target = None if target is None else continued.tokens_to(target, level=level)
    return CurveForecast(
        name=name,
        curve=continued.curve,
        spread=continued.spread,
        losses=tuple((times * last, continued.loss(times * last, level=level)) for times in HORIZONS),
        to_target=to_target,
    )


def _dependent(name: str, continued: Continuation) -> list[str]:
    """What to know where residuals go together by more than twice the scatter of independent ones."""
    found = continued.autocorrelation
    if found < 2 / math.sqrt(len(continued.residuals)):
        return []
    told = f"{name}: residuals of neighbouring checkpoints go together (correlation {found:.2f})"
    return [f"{told}, so that its intervals are too narrow"]


def _about(run: Run, points: Sequence[int], axis: Axis) -> list[str]:
    told = []
    if axis is Axis.STEP:
        told.append("the run does not say its tokens: everything is in steps")
    if run.num_left_out:
        told.append(f"{counted(run.num_left_out, 'checkpoint')} without {axis.unit} left out")
    rates = [run.infos[place].learning_rate for place in points]
    known = [rate for rate in rates if rate is not None]
    if len(known) > 1 and max(known) > 1.01 * min(known):
        told.append(
            f"the learning rate went from {known[0]:.3g} to {known[-1]:.3g} over these checkpoints: the "
            "curve continues its effect as if the schedule went on"
        )
    return told
