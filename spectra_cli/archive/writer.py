"""Writing archives and parts, and making one file of them. There is one way to write: whole and atomic."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spectra_cli.archive.claims import read_claims, remove_claims
from spectra_cli.archive.content.checkpoint_table import columns_of, write_table
from spectra_cli.archive.content.layout import (
    FORMAT,
    FORMAT_VERSION,
    checkpoint_order,
    identity,
    part_path,
    parts_folder,
)
from spectra_cli.archive.content.measurement_group import (
    SpectrumHeader,
    create_measurement,
    spectrum_headers,
    write_spectra,
)
from spectra_cli.archive.content.netcdf import text_attribute
from spectra_cli.archive.content.provenance import (
    NOTHING_SAID,
    Statement,
    scan_differences,
    write_provenance,
    write_statement,
)
from spectra_cli.archive.content.scalars_group import Placed, scalar_groups, write_scalars
from spectra_cli.archive.file.atomic import remove_stale_temporaries, replacing
from spectra_cli.archive.reader import file_signature, open_archive
from spectra_cli.archive.single_file import table_digest
from spectra_cli.core.errors import ArchiveError, OtherRunError
from spectra_cli.core.types import CheckpointSpectra, Provenance
from spectra_cli.core.words.plurals import agreed, counted


class CheckpointStream(Protocol):
    """Checkpoints in archive order that can be read twice."""

    def __iter__(self) -> Iterator[CheckpointSpectra]: ...


def write_archive(
    path: Path, checkpoints: Sequence[CheckpointSpectra], statement: Statement = NOTHING_SAID
) -> None:
    """Write checkpoints of one scan as one archive, in the order of their steps.

    Args:
        path: of the archive; checkpoints: what it is to hold.
        statement: of which run it is, and what it lacks of that.

    Raises:
        ArchiveError: no checkpoints, two of one identity, of different scans, a value that an
            archive cannot carry, or a file that cannot be written; the old file then stays.
    """
    write_series(path, sorted(checkpoints, key=lambda c: checkpoint_order(c.ref)), statement)


def write_part(archive_path: Path, checkpoint: CheckpointSpectra, origins: Sequence[str] = ()) -> Path:
    """Commit one finished checkpoint of the run at `origins` beside its archive; returns the part file.

    Any number of processes may do so at once for different checkpoints, without a lock.

    Raises:
        ArchiveError: as `write_archive`.
    """
    path = part_path(archive_path, checkpoint.ref)
    write_series(path, [checkpoint], Statement(origins=tuple(origins)))
    return path


def consolidate(archive_path: Path) -> Path:
    """Make one file of an archive and the parts beside it, then remove these parts.

    The result depends only on the checkpoints, not on the order in which they came. A crash leaves
    the parts: they are merged again. Memory holds one checkpoint at a time.

    Raises:
        ArchiveError: nothing to consolidate, a damaged part, or parts of different scans; nothing
            is changed then.
    """
    folder = parts_folder(archive_path)
    remove_stale_temporaries(archive_path.parent, name_prefix=f"{archive_path.name}.")
    with _one_consolidation_at_a_time(folder):
        archive = open_archive(archive_path)
        if archive.damaged:
            reasons = "; ".join(f"{part.path.name}: {part.reason}" for part in archive.damaged)
            raise ArchiveError(
                f"cannot consolidate {archive_path}: {counted(len(archive.damaged), 'part')} "
                f"{agreed(len(archive.damaged))} damaged ({reasons}). "
                "Scan these checkpoints again, or remove the files. Nothing was changed."
            )
        merged = {part: file_signature(part) for part in archive.parts}
        claims = {claim: file_signature(claim.path) for claim in read_claims(archive_path)}
        # a run that was only moved is known by its content: no reason to write everything anew
        if merged or archive.statement.owed() != archive.written.owed():
            write_series(archive_path, archive, archive.statement)
        for part, signature in merged.items():
            # A part that was written anew meanwhile is not in the archive yet.
            if file_signature(part) == signature:
                _remove_merged(part, archive_path)
        remove_claims(archive_path, [c for c, before in claims.items() if file_signature(c.path) == before])
        if folder.is_dir():
            remove_stale_temporaries(folder)
            with suppress(OSError):  # not empty: another writer is at work
                folder.rmdir()
    return archive_path


def _remove_merged(part: Path, archive_path: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        raise ArchiveError(
            f"{archive_path} is complete, but its part {part} cannot be removed: {error.strerror}. "
            "It does no harm; remove it when you can."
        ) from error


@contextmanager
def _one_consolidation_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the parts folder: of two consolidations at once, the slower would undo the faster one."""
    while folder.is_dir():
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError:  # gone, or not ours to read: reading the parts will say so
            break
        try:
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The one before us may have removed the folder, and a writer have made a new one.
            if _is_at(folder, descriptor):
                yield
                return
        finally:
            os.close(descriptor)
    yield


def _is_at(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def write_series(path: Path, series: CheckpointStream, statement: Statement) -> None:
    """Two passes over the series: the first learns names and shapes, the second copies the arrays."""
    provenance: Provenance | None = None
    rows: list[dict[str, Any]] = []
    headers: list[list[SpectrumHeader]] = []
    scalars: list[dict[str, list[Placed]]] = []
    known: dict[str, str] = {}
    for checkpoint in series:
        provenance = provenance or checkpoint.provenance
        _check_belongs(path, provenance, known, checkpoint)
        rows.append(columns_of(checkpoint))
        headers.append(spectrum_headers(checkpoint))
        scalars.append(scalar_groups(checkpoint))
    if provenance is None:
        raise ArchiveError(f"cannot write {path}: there are no checkpoints. Scan at least one.")

    steps = [row["step"] for row in rows]
    with replacing(path) as new:
        root = new.root
        text_attribute(root, "format", FORMAT)
        text_attribute(root, "format_version", FORMAT_VERSION)
        text_attribute(root, "table_digest", table_digest(provenance, rows, statement))
        write_provenance(root, provenance)
        write_statement(root, statement)
        write_table(root, rows)
        for name in dict.fromkeys(h.measurement for one in headers for h in one):
            create_measurement(
                root, name, [[h for h in one if h.measurement == name] for one in headers], steps
            )
        for group in dict.fromkeys(group for one in scalars for group in one):
            write_scalars(root, group, [one.get(group, []) for one in scalars], steps)
        new.check()
        for index, checkpoint in enumerate(series):
            for name in dict.fromkeys(s.measurement for s in checkpoint.spectra):
                write_spectra(root[name], index, checkpoint.select(name))
            new.check()
        root.attrs.create("complete", 1, dtype=np.int8)


def _check_belongs(
    path: Path, expected: Provenance, known: dict[str, str], checkpoint: CheckpointSpectra
) -> None:
    name, uri = identity(checkpoint.ref), checkpoint.ref.uri
    if name in known:
        raise ArchiveError(f"cannot write {path}: {known[name]} and {uri} are both {name}. Keep one of them.")
    known[name] = uri
    differences = scan_differences(expected, checkpoint.provenance)
    if differences:
        raise OtherRunError(
            f"cannot write {path}: {next(iter(known.values()))} and {uri} were scanned differently "
            f"({'; '.join(differences.values())}). Scan with the same settings, or into another archive "
            "with -o."
        )
