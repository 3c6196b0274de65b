"""`spectra export`: what an archive holds, for other programs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from spectra_cli.cli import options
from spectra_cli.cli.groups.group import one_of, option, some_of, statistics
from spectra_cli.cli.groups.output import on_stdout
from spectra_cli.cli.help import examples
from spectra_cli.core.measurements import ASKED
from spectra_cli.render.exports.registry import FILES, TRACKERS

ArchivesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="ARCHIVE [ARCHIVE ...]", help="Archives, or the checkpoint folders that were scanned."
    ),
]

EPILOG = examples(
    "spectra export runs/a -o a.csv",
    "spectra export runs/a runs/b -o both.jsonl --step 0-1000",
    "spectra export a.spectra.h5 -o - --format csv --spectra --layer 3",
    "spectra export runs/* --to tensorboard tensorboard/",
)


def command(
    archives: ArchivesArgument,
    *,
    output: str | None = option(
        f"The file to write: .{', .'.join(FILES)}; - for stdout.", "--output", "-o", metavar="FILE"
    ),
    form: str | None = option(
        f"{', '.join(FILES)}. [default: what the suffix of FILE says]",
        "--format",
        metavar="FORM",
        offers=one_of(FILES),
    ),
    to: tuple[str, str] | None = option(
        f"To a tracker: {' or '.join(TRACKERS)}, and its folder or file.", "--to", metavar="TRACKER PLACE"
    ),
    spectra: bool = option("The spectra themselves, instead of their statistics.", default=False),
    step: str | None = option("Only these steps, such as 0,100-300."),
    layer: str | None = option("Only these layers, such as 0,3,6-9."),
    measure: str | None = option(
        f"Only these: {', '.join(ASKED)}, or names of measurements.", offers=some_of(ASKED)
    ),
    statistic: str | None = option("Only these, such as rankme_cov,stable_rank.", offers=some_of(statistics)),
    overwrite: bool = option("Replace what is there.", default=False),
) -> None:
    """Write what archives hold for other programs: tables, one value a row, or the spectra themselves.

    Every value comes with its standard error, its status, and the step, tokens and losses of its
    checkpoint; a value that is withheld has its row too, with the reason.
    """
    from spectra_cli.api.export import export_as
    from spectra_cli.render.console import say

    done = export_as(
        archives,
        output=output,
        to=to,
        spectra=spectra,
        step=step,
        layer=layer,
        measure=measure,
        statistic=statistic,
        overwrite=overwrite,
        form=form,
        stdout=on_stdout,
    )
    say(*done.notices, *done.left_out, *done.said)
    if done.left_out:
        sys.exit(options.DONE_IN_PART)
