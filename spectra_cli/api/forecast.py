"""`spectra.forecast`: from early spectra to the tokens that runs need, or one run's loss curve continued."""

from __future__ import annotations

from collections.abc import Sequence

from spectra_cli.analysis.forecast.extrapolation import Extrapolation
from spectra_cli.analysis.forecast.over_runs import Forecast
from spectra_cli.analysis.forecast.request import ForecastRequest
from spectra_cli.analysis.run import Loss
from spectra_cli.core.errors import UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words import lists
from spectra_cli.core.words.plurals import agreed
from spectra_cli.workflows.forecast import extrapolate
from spectra_cli.workflows.forecast import forecast as forecast_several

_NAMED = ("last-third", "last", "all")


def forecast(
    *archives: AnyPath,
    early: float | None = None,
    early_tokens: float | None = None,
    early_step: int | None = None,
    target_loss: float | None = None,
    statistic: str | None = None,
    layers: lists.Integers = "last-third",
    loss: str | None = None,
    family: str = "architecture",
    new: Sequence[AnyPath] = (),
    level: float = 0.8,
    allow_different_scans: bool = False,
) -> Forecast | Extrapolation:
    """Forecast the tokens that runs need to a loss from the spectrum of an early checkpoint.

    Args:
        archives: archives, or folders that were scanned in this directory. Several: each is forecast from
            the others. One: its own loss curve is continued.
        early: share of the shortest run that is early (0.2 by default); in its place early_tokens, tokens,
            or early_step, a step.
        target_loss: nats; by default the lowest that all runs reach.
        statistic: the early number; by default the tail exponent of activations.
        layers: averaged over: `last-third`, `last`, `all`, or a list.
        loss: `probe`, `validation` or `train`; by default the first that all runs have.
        family: runs are compared within: `architecture`, `num_parameters`, a fact of run.toml, or `none`.
        new: archives to forecast only.
        level: of the prediction intervals.
        allow_different_scans: take runs that were not measured alike.

    Returns:
        A `Forecast` of several archives, an `Extrapolation` of one.

    Raises:
        UsageError: options that contradict each other, or name what is not there.
        ArchiveError: an archive is missing or damaged.
        DataError: no loss or no positions, too few checkpoints, or runs that were not measured alike.
    """
    request = ForecastRequest(
        archives=archives,
        new=tuple(new),
        early=early,
        early_tokens=early_tokens,
        early_step=early_step,
        target_loss=target_loss,
        statistic=statistic,
        layers=_layers(layers),
        loss=None if loss is None else lists.one_of(Loss, loss, "--loss"),
        family=family,
        level=level,
        allow_different_scans=allow_different_scans,
    )
    if len(archives) > 1:
        return forecast_several(request)
    if not archives:
        raise UsageError("forecast needs archives, or folders that were scanned: one or more")
    if several := _of_several_runs(request):
        raise UsageError(
            f"{', '.join(several)} {agreed(len(several), 'needs', 'need')} several runs; one archive "
            "was named, whose own loss curve is "
            "continued. Name more archives, or leave the option out."
        )
    return extrapolate(request)


def _layers(asked: lists.Integers) -> str | tuple[int, ...]:
    if isinstance(asked, str) and asked in _NAMED:
        return asked
    return lists.integers(asked, "--layers") or ()


def _of_several_runs(request: ForecastRequest) -> list[str]:
    given = {
        "--early": request.early is not None,
        "--early-tokens": request.early_tokens is not None,
        "--early-step": request.early_step is not None,
        "--new": bool(request.new),
        "--family": request.family != "architecture",
        "--allow-different-scans": request.allow_different_scans,
    }
    return [flag for flag, is_given in given.items() if is_given]
