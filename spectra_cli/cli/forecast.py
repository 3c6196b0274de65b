"""`spectra forecast`: from early spectra to the tokens that runs need, or one run's loss curve continued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spectra_cli.cli import options
from spectra_cli.cli.groups.completion import one_of, statistics
from spectra_cli.cli.groups.group import option
from spectra_cli.cli.groups.output import OutputOptions
from spectra_cli.cli.help import examples
from spectra_cli.cli.output import emit

if TYPE_CHECKING:
    from spectra_cli.analysis.forecast.request import ForecastRequest

EPILOG = examples(
    "spectra forecast runs/a runs/b runs/c runs/d",
    "spectra forecast runs/a runs/b runs/c --early-tokens 5e8 --new runs/d",
    "spectra forecast runs/a --statistic head_exponent_1_10",
)


def command(
    archives: Annotated[
        list[str],
        typer.Argument(
            metavar="ARCHIVE...", help="Archives, or folders that were scanned in this directory."
        ),
    ],
    *,
    early: float | None = option("Share of the shortest run that is early. [default: 0.2]"),
    early_tokens: float | None = option("In its place: tokens, such as 5e8."),
    early_step: int | None = option("In its place: a step."),
    target_loss: float | None = option("Nats. [default: the lowest that all runs reach]"),
    statistic: str | None = option(
        "The early number. [default: the tail exponent of activations]", offers=one_of(statistics)
    ),
    layers: str = option("Averaged over: last-third, last, all, or a list.", default="last-third"),
    loss: str | None = option(
        "probe, validation or train. [default: the first that all runs have]",
        offers=one_of(("probe", "validation", "train")),
    ),
    family: str = option(
        "Runs are compared within: architecture, num_parameters, a fact of run.toml, or none.",
        default="architecture",
    ),
    new: list[str] | None = option("An archive to forecast only; may be repeated."),
    level: float = option("Of the prediction intervals.", default=0.8),
    allow_different_scans: bool = option("Take runs that were not measured alike.", default=False),
    form: OutputOptions,
) -> None:
    """Forecast the tokens that runs need to a loss from the spectrum of an early checkpoint.

    Several archives: how well the early number ranks and predicts the runs, each forecast from the others,
    against early loss, batch and learning rate; with five runs or more, an interval for those that have
    not reached the target. One archive: its own loss curve continued, with and without the spectrum.
    """
    from spectra_cli.analysis.forecast.request import ForecastRequest
    from spectra_cli.analysis.run import Loss
    from spectra_cli.core.errors import UsageError
    from spectra_cli.render import extrapolation as of_one_run
    from spectra_cli.render import forecast as of_several
    from spectra_cli.workflows.extrapolation import extrapolate
    from spectra_cli.workflows.forecast import forecast

    chosen = form.resolve()
    request = ForecastRequest(
        archives=tuple(archives),
        new=tuple(new or ()),
        early=early,
        early_tokens=early_tokens,
        early_step=early_step,
        target_loss=target_loss,
        statistic=statistic,
        layers=layers
        if layers in ("last-third", "last", "all")
        else options.integers(layers, "--layers") or (),
        loss=None if loss is None else options.one_of(Loss, loss, "--loss"),
        family=family,
        level=level,
        allow_different_scans=allow_different_scans,
    )
    if len(archives) > 1:
        emit(of_several.output(forecast(request)), chosen)
        return
    several = _of_several_runs(request)
    if several:
        raise UsageError(
            f"{', '.join(several)} need(s) several runs; one archive was named, whose own loss curve is "
            "continued. Name more archives, or leave the option out."
        )
    emit(of_one_run.output(extrapolate(request)), chosen)


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
