"""`spectra report`: one page that says what changed inside, and shows it."""

from __future__ import annotations

from typing import Annotated

import typer

from spectra_cli.cli.groups.group import one_of, option
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.help import examples

ArchivesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="ARCHIVE [ARCHIVE ...]", help="Archives, or the checkpoint folders that were scanned."
    ),
]

EPILOG = examples(
    "spectra report runs/a",
    "spectra report runs/a runs/b -o both.html --open",
    "spectra report a.spectra.h5 b.spectra.h5 -o both.html --align tokens",
)


def command(
    archives: ArchivesArgument,
    *,
    output: str = option("The page to write.", "--output", "-o", default="report.html", metavar="FILE"),
    shown: bool = option("Open it in the browser.", "--open", default=False),
    align: str = option(
        "What to make equal between runs: loss, step or tokens.",
        default="loss",
        offers=one_of(("loss", "step", "tokens")),
    ),
    loss: str | None = option(
        "Which loss: probe, validation or train. [default: the first that all runs have]",
        offers=one_of(("probe", "validation", "train")),
    ),
    at: float | None = option("At this loss (step, tokens) alone.", metavar="NUMBER"),
    overwrite: bool = option("Replace what is there.", default=False),
    form: OutputOptions,
) -> None:
    """Write one page that says what changed inside, shows it, and lets its reader look.

    One file that opens offline in any browser: the answer in words first, then spectra over training,
    statistics of every layer, what differs between runs, and all the numbers behind them.
    """
    from spectra_cli.api.report import report
    from spectra_cli.render.report.output import output as of_report

    chosen = form.resolve()
    made = report(*archives, output=output, align=align, loss=loss, at=at, overwrite=overwrite)
    emit(of_report(made), chosen)
    if shown:
        import webbrowser

        webbrowser.open(made.path.absolute().as_uri())
