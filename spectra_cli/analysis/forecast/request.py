"""What is asked of runs that forecast, and when it means something."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spectra_cli.analysis.run import Loss
from spectra_cli.core.errors import UsageError
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENT, MEASUREMENTS
from spectra_cli.core.paths import AnyPath
from spectra_cli.statistics.registry import STATISTICS

EARLY_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRequest:
    """What is asked of several runs.

    Attributes:
        archives: of the runs that the evidence is made of; new: of runs that are only forecast.
        early: share of the shortest run's length; early_tokens, early_step: the budget itself. At most
            one; `EARLY_SHARE` without any.
        target_loss: nats; None for the lowest that all runs reach.
        statistic: its name, or `tail_exponent` for the one that the widths have in common.
        layers: `last-third`, `last`, `all`, or numbers.
        loss: which one; None for the first that all runs have.
        family: what keeps families apart: a column or fact of the checkpoints, or `none`.
        level: of the prediction intervals.
        allow_different_scans: take runs that were not measured alike.
    """

    archives: tuple[AnyPath, ...]
    new: tuple[AnyPath, ...] = ()
    early: float | None = None
    early_tokens: float | None = None
    early_step: int | None = None
    target_loss: float | None = None
    statistic: str | None = None
    layers: str | tuple[int, ...] = "last-third"
    loss: Loss | None = None
    family: str = "architecture"
    level: float = 0.8
    allow_different_scans: bool = False


def check_options(request: ForecastRequest) -> None:
    """Check that the options mean something together.

    Raises:
        UsageError: they do not.
    """
    given = {
        "--early": request.early,
        "--early-tokens": request.early_tokens,
        "--early-step": request.early_step,
    }
    named = {flag: value for flag, value in given.items() if value is not None}
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} contradict each other; give one of them")
    if request.early is not None and not 0 < request.early < 1:
        raise UsageError(f"--early {request.early:g}: expected a share between 0 and 1, such as 0.2")
    for flag, value in named.items():
        if not value > 0 or math.isinf(value):
            raise UsageError(f"{flag} {value:g}: expected more than 0; an untrained model forecasts nothing")
    if not 0.5 <= request.level < 1:
        raise UsageError(f"--level {request.level:g}: expected at least 0.5 and less than 1, such as 0.8")
    if request.target_loss is not None and not math.isfinite(request.target_loss):
        raise UsageError(f"--target-loss {request.target_loss}: expected a loss in nats, such as 3.28")


def is_of_gradients(statistic: str | None) -> bool:
    """Whether a statistic is of gradients, and not of activations."""
    measurements = STATISTICS[statistic].measurements if statistic in STATISTICS else (ACTIVATIONS,)
    return ACTIVATIONS not in measurements and any(
        MEASUREMENTS[name].made_by == GRADIENT for name in measurements
    )
