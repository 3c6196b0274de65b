"""From the spectrum of an early checkpoint to the tokens that a run needs to a loss, over several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spectra_cli.analysis.forecast.conditions import about_predictions, about_rows, about_the_scans
from spectra_cli.analysis.forecast.evidence import ForecastEvidence, RunTable, predict, weigh
from spectra_cli.analysis.forecast.request import EARLY_SHARE, ForecastRequest
from spectra_cli.analysis.forecast.rows import (
    CENSORED,
    EXCLUDED,
    REACHED,
    Question,
    RunRow,
    candidates,
    column_of,
    early_checkpoint,
    run_row,
    without_lonely,
)
from spectra_cli.analysis.layer_means import common_measurement, tail_statistic, width_of
from spectra_cli.analysis.run import Axis, Loss, Run, common_axis, common_loss, notices_of
from spectra_cli.core.errors import UsageError
from spectra_cli.core.series import Unfinished
from spectra_cli.core.shown import Shown


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Forecast(Shown):
    """One row a run, and what they say together.

    Attributes:
        unit: `tokens` or `steps`, of every position.
        loss, target: which loss, and the one to be reached; target_given: whether the user named it.
        early, early_unit: the budget of the early checkpoint.
        statistic: of the predictor.
        rows: in the order of the command line, new runs last.
        evidence: None with fewer than two usable runs.
        notices: what to know about how it was made.
        unfinished: run -> what a scan still owes its archive; finished ones are not in it.
    """

    unit: str
    loss: Loss
    target: float
    target_given: bool
    early: float
    early_unit: str
    statistic: str
    rows: tuple[RunRow, ...]
    evidence: ForecastEvidence | None
    notices: tuple[str, ...]
    unfinished: Mapping[str, Unfinished] = field(default_factory=dict)


def forecast_of(
    opened: Sequence[Run], request: ForecastRequest, *, num_known: int, differences: Sequence[str] = ()
) -> Forecast:
    """The forecast of several runs.

    Args:
        opened: the runs, of which the first `num_known` are the evidence and the others only forecast.
        differences: in what they were not measured alike.

    Raises:
        ArchiveError: an archive is damaged.
        UsageError: tokens are asked for that not every run says, or a layer, family or statistic that is
            not there.
        DataError: no loss, no positions, or no spectra that the statistic is defined for.
    """
    axis = common_axis(opened)
    runs = tuple(run.along(axis) for run in opened)
    known = runs[:num_known]
    asked = _question(request, runs, known, axis)
    earliest = [early_checkpoint(run, asked.early, asked.early_axis) for run in runs]
    statistic = tail_statistic(request.statistic, [width_of(e.measured) for e in earliest if e] or [0])
    measured = [early.measured for early in earliest if early is not None]
    measurement = common_measurement(measured, statistic) if measured else None
    rows = without_lonely(
        [
            run_row(run, early, statistic, asked, new=number >= len(known), measurement=measurement)
            for number, (run, early) in enumerate(zip(runs, earliest, strict=True))
        ]
    )
    table = _table([row for row in rows if row.role == "known" and row.outcome != EXCLUDED])
    rows = tuple(_with_prediction(row, table, request.level) for row in rows)
    return Forecast(
        unit=axis.unit,
        loss=asked.loss,
        target=asked.target,
        target_given=request.target_loss is not None,
        early=asked.early,
        early_unit=asked.early_axis.unit,
        statistic=statistic.name,
        rows=rows,
        evidence=weigh(table) if len(table.response) > 1 else None,
        unfinished={run.name: owed for run in runs if (owed := run.series.unfinished) is not None},
        notices=(
            *notices_of(runs),
            *about_the_scans(runs, axis, differences),
            *about_rows(rows, table),
            *about_predictions(rows, table, axis.unit),
        ),
    )


def _question(request: ForecastRequest, runs: Sequence[Run], known: Sequence[Run], axis: Axis) -> Question:
    loss = common_loss(runs, request.loss)
    target = request.target_loss
    if target is None:
        target = float(max(np.nanmin(run.losses(loss)) for run in known))
    early, early_axis = _budget(request, known, axis)
    return Question(
        loss=loss,
        target=target,
        axis=axis,
        early=early,
        early_axis=early_axis,
        layers=request.layers,
        family=request.family,
    )


def _budget(request: ForecastRequest, known: Sequence[Run], axis: Axis) -> tuple[float, Axis]:
    if request.early_step is not None:
        return float(request.early_step), Axis.STEP
    if request.early_tokens is not None:
        if axis is not Axis.TOKENS:
            raise UsageError(
                "--early-tokens: not every run says its tokens; give --early-step or --early, or the tokens "
                "with --log or in a run.toml (docs/how-to/training-metadata.md)"
            )
        return request.early_tokens, Axis.TOKENS
    share = EARLY_SHARE if request.early is None else request.early
    return share * float(min(run.on(axis)[-1] for run in known)), axis


def _table(rows: Sequence[RunRow]) -> RunTable:
    known = {name: v[:, None] for name, v in candidates(rows).items() if rows and np.isfinite(v).all()}
    recipe = [name for name in known if name != "early loss"]
    baselines = {name: known[name] for name in known if name not in recipe}
    if recipe:
        baselines[" + ".join(recipe)] = np.hstack([known[name] for name in recipe])
    if len(baselines) > 1:
        baselines[" + ".join(baselines)] = np.hstack(list(baselines.values()))
    to_target = column_of(rows, "to_target")
    return RunTable(
        predictor=column_of(rows, "predictor"),
        stderrs=column_of(rows, "stderr"),
        response=np.where(np.isfinite(to_target), np.log(to_target), np.inf),
        families=tuple(row.family for row in rows),
        baselines=baselines,
    )


def _with_prediction(row: RunRow, table: RunTable, level: float) -> RunRow:
    wanted = row.outcome != EXCLUDED and (row.outcome != REACHED or row.role == "new")
    if not wanted or len(table.response) < 2:
        return row
    found = predict(table, row.predictor, row.family, level=level)
    if found is not None and row.outcome == CENSORED:
        # it has not reached the target by then: fewer cannot be
        found = replace(found, low=max(found.low, row.seen), high=max(found.high, row.seen))
    return replace(row, prediction=found)
