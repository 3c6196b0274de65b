"""Reading one file: its header, its table of checkpoints, one checkpoint's measurements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spectra_cli.archive.canonical import content_digest, text_digest
from spectra_cli.archive.checkpoint_table import Row, read_columns, row_of
from spectra_cli.archive.file_access import damaged, opened
from spectra_cli.archive.layout import FORMAT, FORMAT_VERSION, SCALARS_GROUP, identity
from spectra_cli.archive.measurement_group import read_spectra
from spectra_cli.archive.provenance import provenance_fields, read_provenance
from spectra_cli.archive.scalars_group import read_scalars
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.types import CheckpointSpectra, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One checkpoint on disk: the file and row it lies in, and what the row says."""

    file: Path
    index: int
    row: Row


def read_entries(path: Path) -> tuple[Provenance, list[Entry]]:
    """The provenance and the table of checkpoints of one file; no spectra.

    Raises:
        ArchiveError: no archive, of a newer version, incomplete or damaged.
    """
    with opened(path) as root:
        check_header(path, root)
        provenance = read_provenance(root)
        rows = read_columns(root)
        if table_digest(provenance, rows) != root.attrs["table_digest"]:
            raise damaged(path, "the table of checkpoints does not match its digest")
        entries = [Entry(file=path, index=i, row=row_of(row)) for i, row in enumerate(rows)]
        twice = [name for name, n in Counter(identity(e.row.ref) for e in entries).items() if n > 1]
        if twice:
            raise damaged(path, f"{', '.join(twice)} is there more than once")
        return provenance, entries


def table_digest(provenance: Provenance, rows: Sequence[dict[str, Any]]) -> str:
    """sha256 over what `read_entries` reads."""
    return text_digest([provenance_fields(provenance), list(rows)])


def read_checkpoint(entry: Entry, shared: Provenance) -> CheckpointSpectra:
    """Everything measured on one checkpoint, verified against its digest.

    Raises:
        ArchiveError: the file is damaged, or was written anew since its table was read.
    """
    with opened(entry.file) as root:
        checkpoint = _read_unverified(root, entry, shared)
    if content_digest(checkpoint) != entry.row.content_digest:
        name = identity(entry.row.ref)
        raise damaged(entry.file, f"{name} does not match its digest, or the file was replaced meanwhile")
    return checkpoint


def _read_unverified(root: Any, entry: Entry, shared: Provenance) -> CheckpointSpectra:
    spectra = [
        pair
        for name, group in root.items()
        if name != SCALARS_GROUP and "kind" in group.attrs
        for pair in read_spectra(group, name, entry.index)
    ]
    scalars = read_scalars(root, entry.index)
    row = entry.row
    return CheckpointSpectra(
        ref=row.ref,
        info=row.info,
        provenance=replace(shared, versions=row.versions, execution=row.execution),
        spectra=tuple(spectrum for _, spectrum in sorted(spectra, key=_position)),
        scalars=tuple(scalar for _, scalar in sorted(scalars, key=_position)),
        skipped=row.skipped,
    )


def _position(placed: tuple[int, object]) -> int:
    return placed[0]


def check_header(path: Path, root: Any) -> None:
    """Check that an HDF5 file is an archive that this version reads.

    Raises:
        ArchiveError: another format, a newer version, or not written to its end.
    """
    found = root.attrs.get("format")
    if found != FORMAT:
        raise ArchiveError(
            f"{path} is HDF5 but no archive: its attribute `format` is {found!r}, expected {FORMAT!r}. "
            "Check the path."
        )
    version = str(root.attrs["format_version"])
    if _version(version) > _version(FORMAT_VERSION):
        raise ArchiveError(
            f"{path} has archive format {version}; the newest that this version reads is {FORMAT_VERSION}. "
            "Update it: pip install -U llm-spectra."
        )
    if not root.attrs.get("complete", 0):
        raise ArchiveError(
            f"{path} is incomplete: its attribute `complete` is missing, so its writer was interrupted. "
            "Remove it and run the scan again."
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))
