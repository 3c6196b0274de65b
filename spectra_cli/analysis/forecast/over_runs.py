"""From the spectrum of an early checkpoint to the tokens that a run needs to a loss, over several runs.

The notices say what the runs lack of the conditions under which it means something.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spectra_cli.analysis.forecast.evidence import (
    ENOUGH_IN_A_FAMILY,
    ENOUGH_POOLED,
    ForecastEvidence,
    RunTable,
    predict,
    usable_baselines,
    weigh,
)
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
from spectra_cli.core.types import Status
from spectra_cli.core.words.numbers import count
from spectra_cli.core.words.plurals import agreed, counted

# Early checkpoints further apart than this are not of the same moment (docs/how-to/forecast-tokens.md).
SAME_MOMENT = 0.02


def about_the_scans(runs: Sequence[Run], axis: Axis, differences: Sequence[str]) -> Iterator[str]:
    """In what the runs are not alike as wholes, in sentences."""
    if axis is Axis.STEP:
        yield (
            "not every run says its tokens: everything is in steps, which runs of different batch size do "
            "not share"
        )
    if differences:
        yield f"the runs were not measured alike: {'; '.join(differences)}"
    for run in runs:
        if run.num_left_out:
            yield f"{run.name}: {counted(run.num_left_out, 'checkpoint')} without {axis.unit} left out"


def about_rows(rows: Sequence[RunRow], table: RunTable) -> Iterator[str]:
    """What to know of the early numbers and of what they are held against, in sentences."""
    used = [row for row in rows if row.outcome != EXCLUDED]
    early = [row.early for row in used]
    if early and max(early) > min(early) * (1 + SAME_MOMENT):
        begin, end = count(round(min(early))), count(round(max(early)))
        yield (
            f"the early checkpoints stand at {begin} to {end}, more than 2 % apart: what looks like a "
            "difference between runs may be one of time"
        )
    widths = sorted({row.width for row in used})
    if len(widths) > 1:
        yield f"widths {', '.join(map(str, widths))}: the window is scaled with the width"
    partial = [row for row in used if row.status is not Status.OK]
    if partial:
        first = partial[0]
        yield (
            f"{counted(len(partial), 'early number')} {agreed(len(partial))} {first.status.value}, "
            f"{first.name}: {first.reason}"
        )
    families = Counter(row.family for row in used if row.role == "known")
    number = families.total()
    if number and number < ENOUGH_POOLED and max(families.values()) < ENOUGH_IN_A_FAMILY:
        yield (
            f"{number} runs; take nothing for settled below {ENOUGH_IN_A_FAMILY} in one family or "
            f"{ENOUGH_POOLED} over families"
        )
    of_layers: dict[tuple[int, ...], str] = {}
    for row in used:
        of_layers.setdefault(row.layers, row.name)
    if len(of_layers) > 1:
        told = "; ".join(f"{','.join(map(str, of))} in {name}" for of, name in of_layers.items())
        yield f"the runs are not averaged over the same layers: {told}"
    fitted = [row for row in used if row.role == "known"]
    for name, values in candidates(fitted).items():
        if lacking := [r.name for r, value in zip(fitted, values, strict=True) if not math.isfinite(value)]:
            yield f"{name} is not among the baselines: nothing says it of {', '.join(lacking)}"
    usable = {part for name in usable_baselines(table) for part in name.split(" + ")}
    tried = dict.fromkeys(part for name in table.baselines for part in name.split(" + "))
    dropped = [name for name in tried if name not in usable]
    if dropped and number > 1:
        yield (
            "not a baseline, since it is the same in all runs of a family or follows from the others: "
            f"{', '.join(dropped)}"
        )


def about_predictions(rows: Sequence[RunRow], table: RunTable, unit: str) -> Iterator[str]:
    """What to know of the predictions, in sentences."""
    fitted = table.finite().families
    alone = [
        f for f, at in zip(table.families, table.response, strict=True) if at < math.inf and f not in fitted
    ]
    if alone and fitted:
        yield (
            f"left out of the regressions: {counted(len(alone), 'run')} that reached the target alone "
            "in the family "
            f"({', '.join(dict.fromkeys(alone))})"
        )
    for row in rows:
        wanted = row.outcome != EXCLUDED and (row.outcome != REACHED or row.role == "new")
        if wanted and row.prediction is None and fitted and row.family not in fitted:
            reason = f"no two known runs of its family, {row.family}, reached the target"
            if any(family != row.family for family in fitted):
                reason += "; --family none takes all runs together"
            yield f"{row.name}: no forecast, since {reason}"
        if row.outcome == CENSORED and row.prediction is not None and row.prediction.value < row.seen:
            predicted, seen = count(round(row.prediction.value)), count(round(row.seen))
            yield (
                f"{row.name}: predicted at {predicted} {unit}, but has not reached the target by {seen}: the "
                "forecast failed there"
            )


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
