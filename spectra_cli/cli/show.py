"""`spectra show`: the statistics of an archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spectra_cli.cli import options
from spectra_cli.cli.completion import some_of, statistics
from spectra_cli.cli.help import examples

if TYPE_CHECKING:
    from spectra_cli.render.summary import Checkpoint
    from spectra_cli.workflows.show import ArchiveSummary

EPILOG = examples(
    "spectra show runs/a",
    "spectra show a.spectra.h5 --step 0,1000-2000 --layer 0,5",
    "spectra show runs/a --statistic rankme_cov,head_exponent_1_10",
    "spectra show runs/a --format csv > a.csv",
)


def command(
    archive: options.ArchiveArgument,
    *,
    step: Annotated[str | None, typer.Option("--step", help="Only these steps, such as 0,100-300.")] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Only these layers, such as 0,3,6-9.")] = None,
    statistic: Annotated[
        str | None,
        typer.Option(
            "--statistic",
            help="Only these, over the series, such as rankme_cov,stable_rank.",
            autocompletion=some_of(statistics),
        ),
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="table, json or csv. [default: table]")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Print the statistics of an archive, with standard errors.

    As a table: the series, then the layers of its last checkpoint (or of each --step). With
    --statistic: that statistic at every site, over the series. CSV and JSON hold every value.
    """
    from spectra_cli.workflows.show import show

    form = options.output_form(form, as_json=as_json)
    summary = show(
        archive,
        steps=options.ranges(step, "--step"),
        layers=options.integers(layer, "--layer"),
        statistics=None if statistic is None else tuple(statistic.replace(" ", "").split(",")),
    )
    if form == "table":
        print_summary(summary, every_checkpoint=step is not None)
    elif form == "csv":
        _print_csv(summary)
    else:
        _print_json(summary)


def _print_csv(summary: ArchiveSummary) -> None:
    from spectra_cli.render.console import say
    from spectra_cli.render.summary import notices
    from spectra_cli.render.tidy import as_csv, tidy_rows

    rows = (row for c in summary.series for row in tidy_rows(c.ref, c.info.tokens_seen, c.statistics))
    sys.stdout.write(as_csv(rows))
    infos = [c.info for c in summary.series]
    say(*(each.text for each in notices(infos, summary.provenance.probe)), *summary.notices)


def _print_json(summary: ArchiveSummary) -> None:
    from spectra_cli.render.summary import as_document
    from spectra_cli.render.tidy import as_json

    document = as_document(
        str(summary.path), summary.provenance, _checkpoints(summary), summary.unfinished, summary.notices
    )
    sys.stdout.write(as_json(document))


def print_summary(summary: ArchiveSummary, *, every_checkpoint: bool = False) -> None:
    """The tables of an archive on stdout."""
    from spectra_cli.render.console import print_results
    from spectra_cli.render.summary import (
        checkpoint_tables,
        heading,
        notices,
        series_table,
        statistic_table,
    )
    from spectra_cli.render.table import line

    checkpoints = _checkpoints(summary)
    print_results(*heading(_shown(summary.path), summary.provenance, checkpoints))
    if summary.asked_for is not None:
        print_results(*(statistic_table(name, checkpoints) for name in summary.asked_for))
    else:
        print_results(series_table(checkpoints))
        for checkpoint in checkpoints if every_checkpoint else checkpoints[-1:]:
            print_results(*checkpoint_tables(checkpoint, preset=summary.provenance.settings["preset"]))
    print_results(*notices([c.info for c in summary.series], summary.provenance.probe))
    print_results(*(line(notice, style="yellow") for notice in summary.notices))


def _shown(path: Path) -> str:
    """The path as the user would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _checkpoints(summary: ArchiveSummary) -> list[Checkpoint]:
    return [(c.ref, c.info, c.statistics, c.skipped) for c in summary.series]
