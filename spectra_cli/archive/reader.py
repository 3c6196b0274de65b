"""Reading archives, finished or not: parts beside the file count as part of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spectra_cli.archive.claims import read_claims
from spectra_cli.archive.content.layout import checkpoint_order, identity, list_parts
from spectra_cli.archive.content.provenance import (
    NOTHING_SAID,
    Statement,
    check_one_run,
    scan_differences,
    together,
)
from spectra_cli.archive.file.file_access import walk_unsealed
from spectra_cli.archive.origin import covers, origins_of, run_folders
from spectra_cli.archive.single_file import (
    Entry,
    read_checkpoint,
    read_checkpoints,
    read_entries,
    read_measurements,
    read_model_scalar,
)
from spectra_cli.core.errors import ArchiveError, BusyError, NoArchiveError, OtherRunError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.series import Unfinished
from spectra_cli.core.types import CheckpointInfo, CheckpointRef, CheckpointSpectra, FloatArray, Provenance
from spectra_cli.core.words.plurals import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedPart:
    """A part file that cannot be read, and why; its checkpoint counts as not finished."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Archive:
    """A series of checkpoints on disk: small facts in memory, spectra read when asked for.

    No file stays open. Iterating gives `CheckpointSpectra` one at a time, in order.

    Attributes:
        path: of the archive, also where so far only parts exist.
        provenance: what all checkpoints share; `execution` is empty, each checkpoint has its own.
        entries: by step, unknown steps last.
        parts: complete part files that are not consolidated yet; their checkpoints are in `entries`.
        damaged: part files that could not be read; their checkpoints are not in `entries`.
        statement: of which run it is and what that scan still owes it; written: as the archive's file has it.
        passed_over: other archives that the name by which it was asked for may mean.
    """

    path: Path
    provenance: Provenance
    entries: tuple[Entry, ...]
    parts: tuple[Path, ...] = ()
    damaged: tuple[DamagedPart, ...] = ()
    statement: Statement = NOTHING_SAID
    written: Statement = NOTHING_SAID
    passed_over: tuple[Path, ...] = ()
    _scalars: dict[str, list[tuple[float, FloatArray]]] = field(default_factory=dict, init=False, repr=False)

    @property
    def origins(self) -> tuple[str, ...]:
        """Where its run lies; in older archives, where its checkpoints say that they were."""
        return self.statement.origins or origins_of(self.refs)

    @property
    def mixture(self) -> str:
        """That its checkpoints lie in several run folders, and no scan saw these to be of one run.

        A sentence, empty where it is not so: archives made before format 1.3 may hold two runs.
        """
        found = run_folders(self.refs)
        known = self.statement.origins
        if len(found) < 2 or (known and all(covers(known, folder) for folder in found)):
            return ""
        held = "; ".join(f"{folder}: {', '.join(r.key for r in refs)}" for folder, refs in found.items())
        return (
            f"its checkpoints lie in {len(found)} folders ({held}): these are different runs, unless one was "
            "moved between its scans. Scan each run into an archive of its own with -o"
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What whoever reads its numbers has to know of the archive itself, in sentences."""
        owed = "" if self.unfinished is None else self.unfinished.words()
        others = " and ".join(map(str, self.passed_over))
        which = f"read from {self.path}; there is also {others}, which was left alone" if others else ""
        return tuple(words for words in (owed, self.mixture, which) if words)

    @property
    def unfinished(self) -> Unfinished | None:
        """What a scan was asked for and has not measured or merged; None where nothing is."""
        if not self.statement.waiting and not self.parts:
            return None
        return Unfinished(
            measured=len(self),
            missing=tuple(name for name in self.statement.waiting if name not in self.statement.failed),
            failed=dict(self.statement.failed),
            num_parts=len(self.parts),
        )

    @property
    def refs(self) -> tuple[CheckpointRef, ...]:
        """The checkpoints, in order."""
        return tuple(entry.row.ref for entry in self.entries)

    @property
    def infos(self) -> tuple[CheckpointInfo, ...]:
        """What each checkpoint says about itself, in the order of `refs`."""
        return tuple(entry.row.info for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[CheckpointSpectra]:
        return (self.checkpoint(index) for index in range(len(self)))

    def checkpoint(self, index: int, *, vectors: bool = True) -> CheckpointSpectra:
        """Everything measured on one checkpoint, verified against its digest.

        Args:
            index: place in `refs`.
            vectors: False leaves the vectors of the spectra in the file, which is far faster where the
                scan kept some.

        Raises:
            ArchiveError: the file is damaged, or was written anew since the archive was opened.
        """
        return read_checkpoint(self.entries[index], self.provenance, vectors=vectors)

    def checkpoints(
        self, indices: Sequence[int], *, vectors: bool = True, measurements: Sequence[str] | None = None
    ) -> Iterator[CheckpointSpectra]:
        """`checkpoint` of several, in this order; the file stays open while the iterator is at it.

        Args:
            measurements: whose spectra are wanted; None for all. Scalars are there in any case.
        """
        entries = [self.entries[index] for index in indices]
        return read_checkpoints(entries, self.provenance, vectors=vectors, measurements=measurements)

    @property
    def measurements(self) -> tuple[str, ...]:
        """Names of the measurements of which some checkpoint has spectra; no spectra are read."""
        files = dict.fromkeys(entry.file for entry in self.entries)
        return tuple(dict.fromkeys(name for file in files for name in read_measurements(file)))

    def scalars_over(self, name: str) -> FloatArray:
        """A number of the whole model, such as `probe_loss`, over the series.

        No spectra are read from a sealed file; in one of an older format they are, to verify the digests.

        Returns:
            (checkpoints,) in the order of `refs`; NaN where it was not measured.

        Raises:
            ArchiveError: a file is damaged, or was written anew since the archive was opened.
        """
        return np.array([value for value, _ in self._over(name)], dtype=np.float64)

    def replicates_over(self, name: str) -> tuple[FloatArray, ...]:
        """The same number without each block of the probe in turn.

        Returns:
            For each checkpoint (num_blocks,); empty where it has none.

        Raises:
            ArchiveError: as `scalars_over`.
        """
        return tuple(replicates for _, replicates in self._over(name))

    def _over(self, name: str) -> list[tuple[float, FloatArray]]:
        """Kept once read: without a seal that takes every checkpoint, to verify it."""
        if name not in self._scalars:
            self._scalars[name] = self._read_over(name)
        return self._scalars[name]

    def _read_over(self, name: str) -> list[tuple[float, FloatArray]]:
        by_file: dict[Path, list[int]] = {}
        for place, entry in enumerate(self.entries):
            by_file.setdefault(entry.file, []).append(place)
        found: dict[int, tuple[float, FloatArray]] = {}
        for places in by_file.values():
            entries = [self.entries[place] for place in places]
            found |= zip(places, read_model_scalar(entries, self.provenance, name), strict=True)
        return [found[place] for place in range(len(self))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a scan need not do again.

    Attributes:
        fingerprints: identity of each finished checkpoint (`layout.identity`) -> fingerprint of its files.
        provenance: of the finished checkpoints; None where there are none.
        damaged: part files that could not be read; writing the checkpoint again replaces them.
    """

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance | None = None
    damaged: tuple[DamagedPart, ...] = ()

    def fingerprint(self, ref: CheckpointRef) -> str | None:
        """Fingerprint of the files `ref` was measured from, or None where it is not finished."""
        return self.fingerprints.get(identity(ref))

    def also(self, fingerprints: Mapping[str, str]) -> Finished:
        """The same with checkpoints that are finished under another identity."""
        return replace(self, fingerprints={**self.fingerprints, **fingerprints})


def open_archive(path: AnyPath) -> Archive:
    """The archive at `path` as consolidation would leave it: its file, and the parts beside it.

    Reads the table of checkpoints and no spectra.

    Raises:
        ArchiveError: neither file nor readable parts; damaged, incomplete, or of a newer version.
    """
    path = Path(path)
    archive, damaged = _collect(path)
    if archive is not None:
        return archive
    if damaged:
        reasons = "; ".join(f"{part.path}: {part.reason}" for part in damaged)
        raise ArchiveError(
            f"no archive at {path}, and none of its parts can be read: {reasons.rstrip('.')}. Scan again."
        )
    for claim in read_claims(path):
        said = claim.statement
        raise NoArchiveError(
            f"no archive at {path} yet, unfinished: 0 of {counted(len(said.waiting), 'checkpoint')} of "
            f"{', '.join(said.origins)}, scan still running or stopped. Scan, or wait for its first one."
        )
    raise NoArchiveError(f"no archive at {path}, and no parts beside it. Make one with `spectra scan`.")


def finished(path: Path) -> Finished:
    """What is already done for the archive at `path`; empty where nothing exists yet.

    Raises:
        ArchiveError: the archive file itself is damaged.
    """
    archive, damaged = _collect(path)
    if archive is None:
        return Finished(damaged=damaged)
    return Finished(
        fingerprints={identity(e.row.ref): e.row.info.fingerprint for e in archive.entries},
        provenance=archive.provenance,
        damaged=damaged,
    )


def file_signature(path: Path) -> tuple[int, int, int] | None:
    """Changes whenever a file is replaced; None where there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ArchiveError(f"cannot look at {path}: {error.strerror}. Check its permissions.") from error
    return status.st_ino, status.st_mtime_ns, status.st_size


_Collected = tuple[Archive | None, tuple[DamagedPart, ...]]


def _collect(path: Path) -> _Collected:
    # Another process may consolidate meanwhile: what was read counts only if it still is there.
    for _ in range(20):
        files = (path, *list_parts(path))
        before = [file_signature(file) for file in files]
        try:
            collected = _merge(path, [file for file in files if file_signature(file)])
        except ArchiveError:
            if before == [file_signature(file) for file in files]:
                raise
            continue
        if before == [file_signature(file) for file in files]:
            return collected
    raise BusyError(f"{path} and its parts keep changing while they are read. Try again when the scan rests.")


def _merge(path: Path, files: list[Path]) -> _Collected:
    walk_unsealed(files)
    provenances: dict[Path, Provenance] = {}
    statements: dict[Path, Statement] = {}
    origins: dict[Path, tuple[str, ...]] = {}
    merged: dict[str, Entry] = {}
    damaged: list[DamagedPart] = []
    # A later file replaces the same checkpoint of an earlier one: the archive first, then parts by age.
    for file in sorted(files, key=lambda f: (f != path, _age(f))):
        try:
            provenances[file], entries, statements[file] = read_entries(file)
        except ArchiveError as error:
            if file == path:
                raise
            damaged.append(DamagedPart(path=file, reason=str(error)))
            continue
        origins[file] = statements[file].origins or origins_of(entry.row.ref for entry in entries)
        for entry in entries:
            _check_same_run(path, merged.get(identity(entry.row.ref)), entry, origins)
            merged[identity(entry.row.ref)] = entry
    _check_same_scan(provenances)
    check_one_run(path, statements)
    entries = sorted(merged.values(), key=lambda e: checkpoint_order(e.row.ref))
    if not entries:
        return None, tuple(damaged)
    archive = Archive(
        path=path,
        provenance=replace(provenances[entries[0].file], versions=entries[0].row.versions),
        entries=tuple(entries),
        parts=tuple(file for file in provenances if file != path),
        damaged=tuple(damaged),
        statement=_stated(path, statements.values(), merged),
        written=statements.get(path, NOTHING_SAID),
    )
    return archive, archive.damaged


def _stated(path: Path, statements: Iterable[Statement], measured: Iterable[str]) -> Statement:
    """What the files say together, and the scans beside them that are of the same run."""
    said = together(statements, ())
    for claim in sorted(read_claims(path), key=lambda claim: _age(claim.path)):
        if not said.origins or {*claim.statement.origins} & {*said.origins}:
            said = together([said, claim.statement], claim.gone)
    return said.without(measured)


def _age(path: Path) -> tuple[int, str]:
    signature = file_signature(path)
    return (signature[1] if signature else 0, path.name)


def _check_same_scan(provenances: Mapping[Path, Provenance]) -> None:
    files = list(provenances)
    for file in files[1:]:
        differences = scan_differences(provenances[files[0]], provenances[file])
        if differences:
            raise OtherRunError(
                f"{files[0]} and {file} are of different scans and cannot share an archive "
                f"({'; '.join(differences.values())}). Scan with the same settings, or into another archive "
                "with -o."
            )


def _check_same_run(
    path: Path, known: Entry | None, entry: Entry, origins: Mapping[Path, tuple[str, ...]]
) -> None:
    if known is None or known.row.ref.run == entry.row.ref.run:
        return
    if not {*origins[known.file]} & {*origins[entry.file]}:  # else it was moved, under another name
        raise OtherRunError(
            f"{path} would hold {identity(entry.row.ref)} of two runs: {known.row.ref.uri} ({known.file}) "
            f"and {entry.row.ref.uri} ({entry.file}). Scan each run into its own archive with -o, "
            "or remove one of these files."
        )
