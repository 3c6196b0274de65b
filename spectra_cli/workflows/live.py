"""Measure a model in memory while it trains: into an archive of its run, or for whoever asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_cli.archive.content.layout import default_archive_path, identity, list_parts
from spectra_cli.archive.origin import origin_of
from spectra_cli.archive.reader import Finished, open_archive
from spectra_cli.archive.writer import consolidate, write_part
from spectra_cli.core.errors import SpectraError, UsageError
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.training import TrainingMetadata
from spectra_cli.core.types import CheckpointRef, CheckpointSpectra
from spectra_cli.workflows.identity.belonging import Belonging
from spectra_cli.workflows.identity.same_run import RunAsked
from spectra_cli.workflows.scan import ScanProgress, check_output, remove, reusable

if TYPE_CHECKING:
    from spectra_cli.extract.live.source import LiveSource
    from spectra_cli.extract.session import Session

Progress = Callable[[ScanProgress], None]

_NO_TOKENS = (
    "no tokens: tokens= takes ids of shape (sequences, ids a sequence) or one stream, probe= a file of them; "
    'probe="synthetic" draws random ones for a smoke run, and measure="weights" needs none'
)


class LiveScan:
    """Measures a module step after step, with one probe and one plan; the training is left untouched.

    Attributes:
        archive: of the run; None where the run has no folder and results go to the caller alone.
    """

    def __init__(self, request: ScanRequest, *, tokens: Any = None) -> None:
        """Load nothing yet.

        Args:
            request: as of a scan; `checkpoints` is the folder of the run, or empty.
            tokens: of the probe, (sequences, ids) or one stream, in place of the request's.

        Raises:
            UsageError: an archive that cannot be written, or has no run; two probes.
        """
        path = os.fspath(request.checkpoints)
        if not path and request.output is not None:
            raise UsageError(
                f"--output {os.fspath(request.output)}: an archive is of a run; name its folder as well, "
                "where its checkpoints lie or would lie"
            )
        if tokens is not None and request.probe:
            raise UsageError(
                f"probe={os.fspath(request.probe)!r} and tokens were given; expected one of them"
            )
        if request.series.model:
            said = ", ".join(f"model.{name}" for name in request.series.model)
            raise UsageError(f"--set {said}: a live model says itself what it is; leave it out")
        self._path = path and os.path.abspath(path)
        self.archive = Path(request.output or default_archive_path(path, Path.cwd())) if path else None
        if self.archive is not None:
            check_output(self.archive, request)
        self._request = request
        self._tokens = tokens
        self._source: LiveSource | None = None
        self._session: Session | None = None
        self._replaces = request.overwrite

    def begin(self, module: Any, *, step: int) -> None:
        """Find out what speaks against the scan before the training starts.

        Raises:
            UsageError: the training begins anew and the archive holds another one.
            SpectraError: as `measure`.
        """
        archive = self.archive
        there = archive is not None and (archive.is_file() or bool(list_parts(archive)))
        if there and step == 0 and not self._replaces:
            raise UsageError(
                f"{archive} holds checkpoints of an earlier training, and this one begins at step 0; "
                "overwrite=True replaces them, output= names another archive"
            )
        with self._taken(module, step, TrainingMetadata()) as (session, ref):
            if archive is not None and not self._replaces:
                self._belonging(ref).check()
                reusable(archive, self._request, session.provenance)

    def measure(
        self,
        module: Any,
        *,
        step: int | None,
        training: TrainingMetadata,
        progress: Progress = lambda _: None,
    ) -> CheckpointSpectra | None:
        """Measure the module as the checkpoint of this step, and write it as a part of the archive.

        Returns:
            What was measured; None where the archive holds the same weights at this step already.

        Raises:
            ModelError: a module that a live scan does not know, or that cannot be measured.
            ArchiveError: the archive is of another run, or of other settings.
            SpectraError: as of a scan.
        """
        with self._taken(module, step, training) as (session, ref):
            if self.archive is None:
                return session.measure(ref, _reported(progress, ref))
            return self._into(self.archive, session, ref, progress)

    def _into(
        self, archive: Path, session: Session, ref: CheckpointRef, progress: Progress
    ) -> CheckpointSpectra | None:
        belonging = self._belonging(ref)
        if not self._replaces:
            belonging.check()
        done = Finished() if self._replaces else reusable(archive, self._request, session.provenance)
        if done.fingerprint(ref) and done.fingerprint(ref) == session.series.source.header(ref).fingerprint:
            return None
        with belonging.announced(overwrite=self._replaces, whole=False) as asked:
            if self._replaces:
                remove(archive)
                self._replaces = False
            try:
                session.check_header(session.series.source.header(ref))
                found = session.measure(ref, _reported(progress, ref))
            except SpectraError as error:
                asked.note_failures({identity(ref): str(error)})
                raise
            write_part(archive, found, asked.origins)
        return found

    def close(self) -> None:
        """Make one file of the archive and its parts, and let everything go."""
        if self._session is not None:
            self._session.__exit__()
            self._session = None
        if self.archive is not None and list_parts(self.archive):
            consolidate(self.archive)

    @contextmanager
    def _taken(
        self, module: Any, step: int | None, training: TrainingMetadata
    ) -> Iterator[tuple[Session, CheckpointRef]]:
        from spectra_cli.extract.live.source import LiveSource
        from spectra_cli.extract.live.untouched import untouched

        with untouched():
            source = self._source = self._source or LiveSource(self._path)
            try:
                ref = source.take(module, step=step, training=training)
                self._session = self._session or self._opened(source, ref)
                yield self._session, ref
            finally:
                source.let_go()

    def _opened(self, source: LiveSource, ref: CheckpointRef) -> Session:
        from spectra_cli.extract.series.probe import read_probe
        from spectra_cli.extract.session import Session

        series = source.series(ref)
        ready = read_probe(series, self._request, given=self._tokens, if_none=_NO_TOKENS)
        if ready.settings.measures_drift and self.archive is not None and not self._replaces:
            held = open_archive(self.archive).refs if _is_there(self.archive) else ()
            if any(known.step != ref.step for known in held):
                raise UsageError(
                    "--vectors: the weights are compared with those of the first checkpoint, which are no "
                    "longer in memory; leave it out, or scan the saved checkpoints"
                )
        return Session(series, ready.probe, ready.settings, self._request)

    def _belonging(self, ref: CheckpointRef) -> Belonging:
        """What tells this run from others: where it lies, and the content of all steps seen so far."""
        assert self._source is not None and self.archive is not None  # noqa: S101, PT018 - of a run
        seen = self._source.seen
        asked = RunAsked(
            path=self._path,
            origin=origin_of(self._path, list(seen)),
            refs=list(seen),
            chosen=frozenset({identity(ref)}),
            fingerprint=lambda one: seen.get(one, ""),
            digest=lambda one: seen.get(one, "").rpartition(":")[2],
        )
        return Belonging(self.archive, asked)


def _is_there(archive: Path) -> bool:
    return archive.is_file() or bool(list_parts(archive))


def _reported(progress: Progress, ref: CheckpointRef) -> Callable[[str, int, int], None]:
    def report(activity: str, done: int, total: int) -> None:
        progress(ScanProgress(ref=ref, number=1, count=1, activity=activity, done=done, total=total))

    return report
