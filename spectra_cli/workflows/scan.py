"""Scan a series of checkpoints into an archive, one part a checkpoint; continue where a scan stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_cli.archive.content.layout import default_archive_path, identity, list_parts
from spectra_cli.archive.content.provenance import scan_differences
from spectra_cli.archive.reader import Finished, finished, open_archive
from spectra_cli.archive.writer import consolidate, write_part
from spectra_cli.core.errors import (
    AlreadyThereError,
    ArchiveError,
    CheckpointError,
    OtherRunError,
    SpectraError,
    UsageError,
)
from spectra_cli.core.notices import signs_of_wrong_tokens
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.series import Unfinished
from spectra_cli.core.shown import Shown
from spectra_cli.core.types import CheckpointRef, Provenance
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.workflows.identity.belonging import Belonging
from spectra_cli.workflows.identity.earlier_scans import EarlierScans, found_in
from spectra_cli.workflows.identity.same_run import run_asked
from spectra_cli.workflows.inspect import not_measured

if TYPE_CHECKING:
    from spectra_cli.extract.series.hygiene import Headers
    from spectra_cli.extract.series.opened import Series
    from spectra_cli.extract.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanProgress:
    """Where a scan is: checkpoint `number` of `count`, and what is under way inside it."""

    ref: CheckpointRef
    number: int
    count: int
    activity: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ScanResult(Shown):
    """What a scan did.

    Attributes:
        archive: path of the consolidated archive.
        measured, kept: checkpoints measured now, and kept from before.
        failed: (checkpoint, why) of those left out.
        before: what was known of the series before the scan; notices: what it found; in sentences.
        restated: of those kept, whose training metadata was brought up to date.
        unfinished: what this scan and others were asked for and the archive lacks; None where nothing.
        mixture: that the archive may hold two runs, in a sentence; empty where nothing speaks for it.
    """

    archive: Path
    measured: tuple[CheckpointRef, ...]
    kept: tuple[CheckpointRef, ...]
    failed: tuple[tuple[CheckpointRef, str], ...]
    notices: tuple[str, ...] = field(default=())
    before: tuple[str, ...] = field(default=())
    restated: tuple[CheckpointRef, ...] = ()
    unfinished: Unfinished | None = None
    mixture: str = ""

    @property
    def found_all_done(self) -> bool:
        """Whether there was nothing to do."""
        return bool(self.kept) and not (self.measured or self.failed or self.restated or self.unfinished)


def scan(
    request: ScanRequest,
    progress: Callable[[ScanProgress], None],
    notify: Callable[[str], None] = lambda _: None,
    stage: Callable[[str], None] = lambda _: None,
) -> ScanResult:
    """Measure every chosen checkpoint of a series that the archive does not hold yet.

    Args:
        request: what to do.
        progress: hears where the scan is.
        notify: hears what is wrong with the series, before the first weight is read; nothing if all is done.
        stage: hears what is under way before the first checkpoint.

    Raises:
        SpectraError: nothing could be done, or (without `skip_errors`) the first checkpoint that
            could not be measured; all parts finished before it are kept.
    """
    stage("loading PyTorch")
    from spectra_cli.extract.series.hygiene import read_headers, series_notices
    from spectra_cli.extract.series.opened import open_series
    from spectra_cli.extract.series.probe import read_probe
    from spectra_cli.extract.session import Session

    path = os.fspath(request.checkpoints)
    stage("opening the series")
    series = open_series(path, request.series)
    archive = Path(request.output or default_archive_path(path, Path.cwd()))
    check_output(archive, request)
    belonging = Belonging(archive, run_asked(path, series.source, series.refs))
    if request.resume and not request.overwrite:
        belonging.check()
    stage("reading the probe")
    ready = read_probe(series, request)
    stage("planning")
    with Session(series, ready.probe, ready.settings, request) as session:
        done = Finished() if request.overwrite else reusable(archive, request, session.provenance)
        stage("reading headers")
        headers = read_headers(series)
        before = series.notices + ready.notices + series_notices(headers)
        before += signs_of_wrong_tokens(ready.probe.info.notices, ())
        if not _all_done(done, headers):
            for notice in before:
                notify(notice)
        with belonging.announced(overwrite=request.overwrite, whole=not series.selection) as asked:
            if request.overwrite:
                remove(archive)
            measured = EarlierScans(archive, headers, asked.origins)
            done = done.also(belonging.kept_though_moved())
            tally = _measure_series(session, archive, done, request, progress, headers, measured)
            asked.note_failures({identity(ref): why for ref, why in tally.failed})
    if tally.measured or tally.kept:
        consolidate(archive)
    if tally.failed and (not request.skip_errors or not (tally.measured or tally.kept)):
        raise _stopped(tally, archive, len(series.refs))
    made = open_archive(archive)
    return ScanResult(
        archive=archive,
        measured=tuple(tally.measured),
        kept=tuple(tally.kept),
        failed=tuple(tally.failed),
        notices=(*_damaged_parts(done), *_restated(tally), *found_in(archive)),
        before=before,
        restated=tuple(tally.restated),
        unfinished=made.unfinished,
        mixture=made.mixture,
    )


@dataclass(slots=True)
class _Tally:
    measured: list[CheckpointRef] = field(default_factory=list)
    kept: list[CheckpointRef] = field(default_factory=list)
    restated: list[CheckpointRef] = field(default_factory=list)
    failed: list[tuple[CheckpointRef, str]] = field(default_factory=list)


def _measure_series(
    session: Session,
    archive: Path,
    done: Finished,
    request: ScanRequest,
    progress: Callable[[ScanProgress], None],
    headers: Headers,
    measured: EarlierScans,
) -> _Tally:
    """One part file a checkpoint; the session is told which one follows, to read it ahead if it can."""
    tally = _Tally()
    waiting = _not_done(session.series, done, tally)
    tally.restated += [ref for ref in tally.kept if measured.restate(ref, session.series.source)]
    count = len(session.series.refs)
    for position, (number, ref) in enumerate(waiting):

        def report(
            activity: str, now: int, total: int, ref: CheckpointRef = ref, number: int = number
        ) -> None:
            progress(
                ScanProgress(ref=ref, number=number, count=count, activity=activity, done=now, total=total)
            )

        try:
            following = waiting[position + 1][1] if position + 1 < len(waiting) else None
            known = headers[ref]
            if not isinstance(known, SpectraError):
                session.check_header(known)
            found = session.measure(ref, report, following=following, find_twin=measured.find_twin)
            measured.add(found, write_part(archive, found, measured.origins))
        except ArchiveError:
            raise
        except SpectraError as error:
            if isinstance(error, UsageError) and not request.skip_errors:
                raise
            tally.failed.append((ref, str(error)))
            if not request.skip_errors:
                break
            continue
        tally.measured.append(ref)
    return tally


def _not_done(series: Series, done: Finished, tally: _Tally) -> list[tuple[int, CheckpointRef]]:
    """Checkpoints, numbered from 1, whose files are not those that an earlier scan finished."""
    waiting: list[tuple[int, CheckpointRef]] = []
    for number, ref in enumerate(series.refs, start=1):
        earlier = done.fingerprint(ref)
        # Only where there is an earlier result: a damaged checkpoint is reported when its turn comes.
        if earlier is not None and _fingerprint(series, ref) == earlier:
            tally.kept.append(ref)
        else:
            waiting.append((number, ref))
    return waiting


def _all_done(done: Finished, headers: Headers) -> bool:
    return all(
        not isinstance(header, SpectraError) and header.fingerprint == done.fingerprint(ref)
        for ref, header in headers.items()
    )


def _fingerprint(series: Series, ref: CheckpointRef) -> str | None:
    try:
        return series.source.header(ref).fingerprint
    except CheckpointError:
        return None


def _stopped(tally: _Tally, archive: Path, count: int) -> SpectraError:
    ref, reason = tally.failed[0]
    done = len(tally.measured) + len(tally.kept)
    kept = f" {done} of {counted(count, 'checkpoint')} {agreed(done)} kept in {archive}." if done else ""
    return not_measured(ref, reason, kept)


def check_output(archive: Path, request: ScanRequest) -> None:
    """Refuse an archive that cannot be written, or that is there and neither continued nor replaced.

    Raises:
        UsageError: it is.
    """
    if archive.is_dir():
        raise UsageError(f"--output {archive} is a folder; expected the path of the archive file to write")
    if not archive.parent.is_dir():
        raise UsageError(f"--output {archive}: there is no folder {archive.parent}; make it first")
    if not os.access(archive.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{archive.parent.absolute()} cannot be written to; choose another place with -o")
    exists = archive.exists() or list_parts(archive)
    if exists and not request.resume and not request.overwrite:
        raise AlreadyThereError(f"{archive} exists; --resume continues it, --overwrite replaces it")


def reusable(archive: Path, request: ScanRequest, provenance: Provenance) -> Finished:
    """What an earlier scan of the same settings and probe finished.

    Raises:
        ArchiveError: what is there was made otherwise; named before any work is done.
    """
    done = finished(archive) if request.resume else Finished()
    differences = {} if done.provenance is None else scan_differences(done.provenance, provenance)
    if differences:
        raise OtherRunError(
            f"{archive} is of another scan (its values against those of this one): "
            f"{'; '.join(differences.values())}. "
            "Give the settings it was made with, another --output, or --overwrite to replace it"
        )
    return done


def remove(archive: Path) -> None:
    """Remove an archive and its parts."""
    for part in list_parts(archive):
        part.unlink()
    archive.unlink(missing_ok=True)


def _damaged_parts(done: Finished) -> tuple[str, ...]:
    return tuple(f"a damaged part was measured again: {part.path}: {part.reason}" for part in done.damaged)


def _restated(tally: _Tally) -> tuple[str, ...]:
    keys = ", ".join(ref.key for ref in tally.restated)
    return (f"training metadata was brought up to date, numbers kept: {keys}",) if keys else ()
