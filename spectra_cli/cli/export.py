"""`spectra export`: what an archive holds, for other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from spectra_cli.cli import options
from spectra_cli.cli.groups.group import one_of, option, some_of, statistics
from spectra_cli.cli.groups.output import on_stdout
from spectra_cli.cli.help import examples
from spectra_cli.core.measurements import ASKED
from spectra_cli.render.exports.registry import FILES, TRACKERS

if TYPE_CHECKING:
    from spectra_cli.workflows.export import ExportedRun, Selection

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
    from spectra_cli.core.errors import UsageError
    from spectra_cli.core.words import lists
    from spectra_cli.workflows.export import Selection

    if (output is None) == (to is None):
        given = "nowhere to export to" if to is None else "-o contradicts --to"
        raise UsageError(f"{given}: give -o FILE, -o - for stdout, or --to TRACKER PLACE")
    for flag, value in (("--statistic", statistic), ("--to", to)):
        if spectra and value is not None:
            raise UsageError(f"--spectra contradicts {flag}; give one of them")
    if to is not None and form is not None:
        raise UsageError("--format contradicts --to; give one of them")
    selection = Selection(
        steps=lists.ranges(step, "--step"),
        layers=lists.integers(layer, "--layer"),
        statistics=lists.words(statistic),
        measurements=lists.words(measure),
    )
    if to is not None:
        _to_tracker(archives, selection, *to, overwrite=overwrite)
    elif output is not None:
        _to_file(archives, selection, output, form, spectra=spectra, overwrite=overwrite)


def _to_file(
    archives: list[str],
    selection: Selection,
    output: str,
    form: str | None,
    *,
    spectra: bool,
    overwrite: bool,
) -> None:
    from spectra_cli.core.errors import UsageError
    from spectra_cli.render.console import say
    from spectra_cli.render.export import notices_of, write
    from spectra_cli.render.exports.registry import file_target, word_of
    from spectra_cli.render.exports.whole_file import check_target
    from spectra_cli.workflows.export import choose

    path = None if output == "-" else Path(output)
    if path is not None:
        check_target(path, "-o", overwrite=overwrite)
    target = file_target(word := word_of(path, form))
    if path is None and not target.is_text:
        raise UsageError(f"--format {word} is not text and cannot go to stdout; name a file with -o")
    runs = choose(archives, selection)
    with _opened(path, "-o", runs, overwrite=overwrite) as stream:
        done = write(target, runs, stream, spectra=spectra)
    say(*notices_of(runs), done.sentence("stdout" if path is None else str(path)))


def _to_tracker(archives: list[str], selection: Selection, word: str, where: str, *, overwrite: bool) -> None:
    from spectra_cli.core.errors import UsageError
    from spectra_cli.render.console import say
    from spectra_cli.render.export import log, notices_of
    from spectra_cli.render.exports.registry import tracker
    from spectra_cli.render.exports.whole_file import check_target
    from spectra_cli.workflows.export import choose

    chosen, flag = tracker(word), f"--to {word}"
    if chosen.place is not None and where == "-":
        raise UsageError(f"{flag} - : {chosen.title} reads folders; name one")
    runs = choose(archives, selection)
    for one in runs:
        one.check_steps(chosen.title)
    left_out: list[str] = []
    files: dict[Path | None, tuple[ExportedRun, ...]] = {None if where == "-" else Path(where): runs}
    if chosen.place is not None:
        files = {chosen.place(Path(where), one.run.name): (one,) for one in runs}
    if chosen.place is not None and len(files) < len(runs):
        raise UsageError(f"two of these archives would have one place in {where}; export them one by one")
    for path in files:
        if path is not None:
            check_target(path, flag, overwrite=overwrite)
    said = []
    for path, of in files.items():
        with _opened(path, flag, of, overwrite=overwrite) as stream:
            done = log(chosen, of, stream, left_out)
        said.append(done.sentence("stdout" if path is None else str(path)))
    say(*notices_of(runs), *left_out, *said)
    if left_out:
        sys.exit(options.DONE_IN_PART)


@contextmanager
def _opened(
    path: Path | None, flag: str, runs: Sequence[ExportedRun], *, overwrite: bool
) -> Iterator[BinaryIO]:
    """The file, whole or not at all, or stdout where there is no path; never one of the archives."""
    from spectra_cli.core.errors import UsageError
    from spectra_cli.render.exports.whole_file import whole_file

    if path is None:
        with on_stdout() as stream:
            yield stream.buffer
        return
    if any(path.exists() and path.samefile(one.run.series.path) for one in runs):
        raise UsageError(f"{flag} {path} is the archive itself; name another file")
    with whole_file(path, flag, overwrite=overwrite) as stream:
        yield stream
