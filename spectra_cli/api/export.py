"""`spectra.export`: what archives hold, for other programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from spectra_cli.core.errors import UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words import lists
from spectra_cli.render.exports.registry import file_target, tracker, word_of
from spectra_cli.render.exports.whole_file import check_target, whole_file
from spectra_cli.render.outputs.export import log, notices_of, write
from spectra_cli.workflows.export import ExportedRun, Selection, choose

Stdout = Callable[[], AbstractContextManager[TextIO]]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ExportResult:
    """What an export wrote.

    Attributes:
        files: written, in order; none on stdout.
        said: a sentence each: how many rows or spectra, of what, and how many have no value.
        left_out: a sentence for each checkpoint that a tracker cannot take.
        notices: what whoever reads the numbers has to know.
    """

    files: tuple[Path, ...]
    said: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """A line a sentence, as the command prints them."""
        return "\n".join((*self.said, *self.left_out, *self.notices))


def export(
    *archives: AnyPath,
    output: AnyPath | None = None,
    to: tuple[str, AnyPath] | None = None,
    spectra: bool = False,
    step: lists.Integers | None = None,
    layer: lists.Integers | None = None,
    measure: lists.Words | None = None,
    statistic: lists.Words | None = None,
    overwrite: bool = False,
) -> ExportResult:
    """Write what archives hold for other programs: tables, one value a row, or the spectra themselves.

    Args:
        archives: archives, or the checkpoint folders that were scanned.
        output: a file: .csv, .jsonl, .parquet, .nc or .npz by its suffix.
        to: a tracker and its folder or file: `("tensorboard", "logs")` or `("wandb", "runs.jsonl")`.
        spectra: the spectra themselves, instead of their statistics.
        step, layer, measure, statistic: only these.
        overwrite: replace what is there.

    Raises:
        ArchiveError: there is no such archive, or it is damaged.
        UsageError: nothing there is what was asked for, or the target cannot be written to.
    """
    if "-" in (str(output), str(to[1]) if to else ""):
        raise UsageError("-: only the command writes to stdout; name a file")
    return export_as(
        archives,
        output=output,
        to=to,
        spectra=spectra,
        step=step,
        layer=layer,
        measure=measure,
        statistic=statistic,
        overwrite=overwrite,
        form=None,
        stdout=lambda: nullcontext(sys.stdout),
    )


def export_as(
    archives: Sequence[AnyPath],
    *,
    output: AnyPath | None,
    to: tuple[str, AnyPath] | None,
    spectra: bool,
    step: lists.Integers | None,
    layer: lists.Integers | None,
    measure: lists.Words | None,
    statistic: lists.Words | None,
    overwrite: bool,
    form: str | None,
    stdout: Stdout,
) -> ExportResult:
    """`export`, where `-` is stdout, for which a format is named.

    Args:
        form: of the file; None for what its suffix says.
        stdout: where `-` goes.
    """
    for flag, value in (("--statistic", statistic), ("--to", to)):
        if spectra and value is not None:
            raise UsageError(f"--spectra contradicts {flag}; give one of them")
    if to is not None and form is not None:
        raise UsageError("--format contradicts --to; give one of them")
    if not archives:
        raise UsageError("of which archives? Give their paths, or the folders that were scanned")
    selection = Selection(
        steps=lists.ranges(step, "--step"),
        layers=lists.integers(layer, "--layer"),
        statistics=lists.words(statistic),
        measurements=lists.words(measure),
    )
    target = _Target(overwrite=overwrite, stdout=stdout)
    if output is None and to is not None:
        return _to_tracker(archives, selection, *to, target)
    if output is not None and to is None:
        return _to_file(archives, selection, output, form, target, spectra=spectra)
    given = "nowhere to export to" if to is None else "-o contradicts --to"
    raise UsageError(f"{given}: give -o FILE, -o - for stdout, or --to TRACKER PLACE")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """How files are written: whole or not at all. No path is stdout."""

    overwrite: bool
    stdout: Stdout

    def check(self, path: Path | None, flag: str) -> None:
        """Check that a file can be written.

        Raises:
            UsageError: it is there already, or its folder cannot be.
        """
        if path is not None:
            check_target(path, flag, overwrite=self.overwrite)

    @contextmanager
    def opened(self, path: Path | None, flag: str, runs: Sequence[ExportedRun]) -> Iterator[BinaryIO]:
        """The stream of a file, never one of the archives, or of stdout.

        Raises:
            UsageError: the file is an archive that is exported.
        """
        if path is None:
            with self.stdout() as stream:
                yield stream.buffer
            return
        if any(path.exists() and path.samefile(one.run.series.path) for one in runs):
            raise UsageError(f"{flag} {path} is the archive itself; name another file")
        with whole_file(path, flag, overwrite=self.overwrite) as stream:
            yield stream


def _path(where: AnyPath) -> Path | None:
    """A file, or None for stdout."""
    return None if str(where) == "-" else Path(where)


def _to_file(
    archives: Sequence[AnyPath],
    selection: Selection,
    output: AnyPath,
    form: str | None,
    to: _Target,
    *,
    spectra: bool,
) -> ExportResult:
    path = _path(output)
    to.check(path, "-o")
    target = file_target(word := word_of(path, form))
    if path is None and not target.is_text:
        raise UsageError(f"--format {word} is not text and cannot go to stdout; name a file with -o")
    runs = choose(archives, selection)
    with to.opened(path, "-o", runs) as stream:
        done = write(target, runs, stream, spectra=spectra)
    return ExportResult(
        files=() if path is None else (path,),
        said=(done.sentence("stdout" if path is None else str(path)),),
        notices=tuple(notices_of(runs)),
    )


def _to_tracker(
    archives: Sequence[AnyPath], selection: Selection, word: str, where: AnyPath, to: _Target
) -> ExportResult:
    chosen, flag = tracker(word), f"--to {word}"
    if chosen.place is not None and str(where) == "-":
        raise UsageError(f"{flag} - : {chosen.title} reads folders; name one")
    runs = choose(archives, selection)
    for one in runs:
        one.check_steps(chosen.title)
    files: dict[Path | None, tuple[ExportedRun, ...]] = {_path(where): runs}
    if chosen.place is not None:
        files = {chosen.place(Path(where), one.run.name): (one,) for one in runs}
    if chosen.place is not None and len(files) < len(runs):
        raise UsageError(f"two of these archives would have one place in {where}; export them one by one")
    for path in files:
        to.check(path, flag)
    said, left_out = [], list[str]()
    for path, of in files.items():
        with to.opened(path, flag, of) as stream:
            done = log(chosen, of, stream, left_out)
        said.append(done.sentence("stdout" if path is None else str(path)))
    return ExportResult(
        files=tuple(path for path in files if path is not None),
        said=tuple(said),
        left_out=tuple(left_out),
        notices=tuple(notices_of(runs)),
    )
