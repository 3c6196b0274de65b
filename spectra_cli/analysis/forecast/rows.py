"""One row a run: its early number, and the tokens that it needed to the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spectra_cli.analysis.brackets import at_loss, best_so_far
from spectra_cli.analysis.forecast.evidence import Prediction
from spectra_cli.analysis.layer_means import LayerMean, choose_sites, mean_over_layers, width_of
from spectra_cli.analysis.run import Axis, Loss, Run
from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Status
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.statistics.statistic import Statistic

REACHED = "reached"
CENSORED = "censored"
EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of every run alike.

    Attributes:
        loss: which one; target: in nats.
        axis: of every position, tokens or steps.
        early, early_axis: the budget of the early checkpoint, and whether it is in tokens or steps.
        layers: `last-third`, `last`, `all`, or numbers.
        family: the column or fact that keeps families apart, or `none`.
    """

    loss: Loss
    target: float
    axis: Axis
    early: float
    early_axis: Axis
    layers: str | tuple[int, ...]
    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run.

    Attributes:
        name, path: of its archive; role: `known`, or `new` for one that is only forecast.
        outcome: `reached`, `censored` (target not reached by `seen`) or `excluded`.
        seen: last tokens (or steps) of the run.
        batch_tokens, learning_rate: the largest of its checkpoints; NaN where nothing says.
        width: of the residual stream; 0 where no activation spectrum tells.
        early_step, early, early_loss: of the last checkpoint within the budget; None or NaN without one.
        predictor, stderr: the early number; status: of it.
        layers: that it is the mean of.
        to_target: tokens (or steps) to the target; NaN where it was not reached.
        reason: why it is excluded, or beside a status.
        prediction: for runs that have not reached the target; None where the runs do not allow one.
    """

    name: str
    path: Path
    role: str
    family: str
    outcome: str
    seen: float
    batch_tokens: float
    learning_rate: float
    width: int = 0
    early_step: int | None = None
    early: float = math.nan
    early_loss: float = math.nan
    predictor: float = math.nan
    stderr: float = math.nan
    status: Status = Status.OK
    layers: tuple[int, ...] = ()
    to_target: float = math.nan
    reason: str = ""
    prediction: Prediction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyCheckpoint:
    """The last trained checkpoint within the budget, with its place in the run."""

    place: int
    measured: CheckpointSpectra


def early_checkpoint(run: Run, budget: float, axis: Axis) -> EarlyCheckpoint | None:
    """The last checkpoint of `run` within the budget, never a later one, nor one before training."""
    positions = run.on(axis)
    # a share of a whole number may fall short of it by rounding
    within = np.flatnonzero((positions > 0) & (positions <= budget * (1 + 1e-9)))
    if not within.size:
        return None
    return EarlyCheckpoint(place=int(within[-1]), measured=run.checkpoint(int(within[-1])))


def run_row(
    run: Run,
    early: EarlyCheckpoint | None,
    statistic: Statistic,
    asked: Question,
    *,
    new: bool,
    measurement: str | None = None,
) -> RunRow:
    """The row of one run.

    Args:
        measurement: that the statistic is taken of in every run; None for what this run has.

    Raises:
        UsageError: a layer or family that it does not have.
        DataError: no spectra that the statistic is defined for.
    """
    losses, positions = run.losses(asked.loss), run.on(asked.axis)
    to_target, started_below = tokens_to_target(positions, losses, asked.target)
    row = RunRow(
        name=run.name,
        path=run.series.path,
        role="new" if new else "known",
        family=_family(run, asked.family),
        outcome=REACHED if math.isfinite(to_target) else CENSORED,
        seen=float(positions[-1]),
        batch_tokens=_largest([info.batch_size_tokens for info in run.infos]),
        learning_rate=_largest([info.learning_rate for info in run.infos]),
        to_target=to_target,
    )
    if early is None:
        first = "; it has none" if not (positions > 0).any() else ""
        told = f"no trained checkpoint within the first {asked.early:.4g} {asked.early_axis.unit}{first}"
        return replace(row, outcome=EXCLUDED, reason=told)
    chosen = choose_sites([early.measured], statistic, asked.layers, measurement=measurement)
    mean = mean_over_layers(early.measured, statistic, chosen)
    row = replace(
        row,
        width=width_of(early.measured),
        early_step=early.measured.ref.step,
        early=float(positions[early.place]),
        early_loss=float(losses[early.place]),
        layers=mean.layers,
    )
    if mean.estimated is not None:
        row = replace(row, predictor=mean.estimated.value, stderr=mean.estimated.stderr)
    if reason := _why_not(row, mean, started_below=started_below):
        return replace(row, outcome=EXCLUDED, status=mean.status, reason=reason)
    return replace(row, status=mean.status, reason=mean.reason)


def _why_not(row: RunRow, mean: LayerMean, *, started_below: bool) -> str:
    if mean.estimated is None:
        return mean.reason
    if started_below:
        return "its first measured loss is below the target already"
    if row.role == "known" and row.to_target <= row.early:
        return "it reached the target before its early checkpoint"
    return ""


def tokens_to_target(positions: FloatArray, losses: FloatArray, target: float) -> tuple[float, bool]:
    """Where the best loss so far reaches the target, log-linear between checkpoints.

    Args:
        positions: (n,) tokens (or steps), ascending; losses: (n,) nats, NaN where unknown.
        target: nats.

    Returns:
        NaN where it is never reached; and whether the first known loss lies below the target, so that
        it was reached before anything was measured.

    >>> tokens_to_target(np.array([1.0, 10.0, 100.0]), np.array([5.0, 4.0, 3.0]), 3.5)[0].__round__(6)
    31.622777
    """
    known = np.isfinite(losses)
    values, places = losses[known].tolist(), positions[known]
    found = at_loss(values, target)
    if found is None:
        return math.nan, bool(values) and float(best_so_far(values)[0]) < target
    before, after = float(places[found.before]), float(places[found.after])
    if before == 0.0:
        return found.share * after, False
    return math.exp((1 - found.share) * math.log(before) + found.share * math.log(after)), False


def without_lonely(rows: Sequence[RunRow]) -> tuple[RunRow, ...]:
    """The rows, with a run excluded that no other of its family can be ranked against."""
    usable = [row.family for row in rows if row.role == "known" and row.outcome != EXCLUDED]
    unusable = [row.family for row in rows if row.role == "known" and row.outcome == EXCLUDED]

    def lonely(row: RunRow) -> bool:
        return row.role == "known" and row.outcome != EXCLUDED and usable.count(row.family) < 2

    def why(row: RunRow) -> str:
        left_out = unusable.count(row.family)
        if left_out:
            told = f": {left_out} other{'s' * (left_out > 1)} of it left out, for the reasons beside them"
        else:
            # it is alone because of how runs are grouped, where there are others to be ranked with
            told = "; --family none ranks all runs together" if len(usable) > 1 else ""
        return f"the only usable run of family {row.family}{told}"

    return tuple(replace(row, outcome=EXCLUDED, reason=why(row)) if lonely(row) else row for row in rows)


def _family(run: Run, key: str) -> str:
    info = run.infos[0]
    columns = {
        "none": "all",
        "architecture": info.architecture,
        "family": info.family,
        "num_parameters": str(info.num_parameters),
        "batch_size_tokens": str(info.batch_size_tokens or "unknown"),
        **info.facts,
    }
    if key not in columns:
        known = ", ".join(columns)
        raise UnknownNameError(
            f"--family {key}{did_you_mean(key, columns)}: {run.name} does not say it; "
            f"it says {known}. Facts come from a run.toml."
        )
    return columns[key]


def _largest(values: Sequence[float | None]) -> float:
    return max((float(v) for v in values if v is not None), default=math.nan)


def column_of(rows: Sequence[RunRow], name: str) -> FloatArray:
    """(n,) one field of the rows."""
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


def candidates(rows: Sequence[RunRow]) -> dict[str, FloatArray]:
    """What might forecast without a spectrum: name -> (n,), NaN where nothing says it of a run."""
    return {
        "early loss": column_of(rows, "early_loss"),
        "batch": np.log(column_of(rows, "batch_tokens")),
        "learning rate": np.log(column_of(rows, "learning_rate")),
    }
