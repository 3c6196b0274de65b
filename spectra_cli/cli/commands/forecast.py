"""`spectra forecast`: from early spectra to the tokens that runs need, or one run's loss curve continued."""

from __future__ import annotations

from typing import Annotated

import typer

from spectra_cli.cli.groups.group import one_of, option, statistics
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.help import examples

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
        "The early number. [default: the tail exponent of activations]",
        metavar="NAME",
        offers=one_of(statistics),
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
    new: list[str] | None = option("An archive to forecast only; may be repeated.", metavar="ARCHIVE"),
    level: float = option("Of the prediction intervals.", default=0.8),
    allow_different_scans: bool = option("Take runs that were not measured alike.", default=False),
    form: OutputOptions,
) -> None:
    """Forecast the tokens that runs need to a loss from the spectrum of an early checkpoint.

    Several archives: how well the early number ranks and predicts the runs, each forecast from the others,
    against early loss, batch and learning rate; with five runs or more, an interval for those that have
    not reached the target. One archive: its own loss curve continued, with and without the spectrum.
    """
    from spectra_cli.analysis.forecast.over_runs import Forecast
    from spectra_cli.api.forecast import forecast
    from spectra_cli.render.outputs import extrapolation as of_one_run
    from spectra_cli.render.outputs import forecast as of_several

    chosen = form.resolve()
    found = forecast(
        *archives,
        early=early,
        early_tokens=early_tokens,
        early_step=early_step,
        target_loss=target_loss,
        statistic=statistic,
        layers=layers,
        loss=loss,
        family=family,
        new=new or (),
        level=level,
        allow_different_scans=allow_different_scans,
    )
    emit(of_several.output(found) if isinstance(found, Forecast) else of_one_run.output(found), chosen)
