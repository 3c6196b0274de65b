"""`spectra export`: what an archive holds, for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from spectra_cli.cli.groups.completion import one_of, some_of, statistics
from spectra_cli.cli.groups.group import option
from spectra_cli.cli.help import examples
from spectra_cli.core.measurements import ASKED
from spectra_cli.render.exports.registry import FILES

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
    from spectra_cli.core.errors import UsageError
    from spectra_cli.core.words import lists
    from spectra_cli.render.console import say
    from spectra_cli.render.export import notices_of, write
    from spectra_cli.render.exports.registry import file_target, word_of
    from spectra_cli.render.exports.whole_file import check_target, whole_file
    from spectra_cli.workflows.export import Selection, choose

    if output is None:
        raise UsageError("nowhere to export to: give -o FILE, or -o - for stdout")
    if spectra and statistic is not None:
        raise UsageError("--spectra contradicts --statistic; give one of them")
    path = None if output == "-" else Path(output)
    if path is not None:
        check_target(path, "-o", overwrite=overwrite)
    target = file_target(word := word_of(path, form))
    if path is None and not target.is_text:
        raise UsageError(f"--format {word} is not text and cannot go to stdout; name a file with -o")
    runs = choose(
        archives,
        Selection(
            steps=lists.ranges(step, "--step"),
            layers=lists.integers(layer, "--layer"),
            statistics=lists.words(statistic),
            measurements=lists.words(measure),
        ),
    )
    if path is not None and any(path.exists() and path.samefile(one.run.series.path) for one in runs):
        raise UsageError(f"-o {path} is the archive itself; name another file")
    if path is None:
        done = write(target, runs, sys.stdout.buffer, spectra=spectra)
        sys.stdout.buffer.flush()
    else:
        with whole_file(path, "-o", overwrite=overwrite) as stream:
            done = write(target, runs, stream, spectra=spectra)
    say(*notices_of(runs), done.sentence("stdout" if path is None else str(path)))
