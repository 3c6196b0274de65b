"""Reading one file: its header, its table of checkpoints, one checkpoint's measurements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from spectra_cli.archive.content.canonical import content_digest, text_digest
from spectra_cli.archive.content.checkpoint_table import COLUMNS, Row, digested, read_columns, row_of
from spectra_cli.archive.content.layout import (
    FORMAT,
    FORMAT_VERSION,
    NEWEST_VERSION,
    SCALARS_GROUP,
    identity,
    parse_version,
)
from spectra_cli.archive.content.measurement_group import read_spectra
from spectra_cli.archive.content.provenance import (
    Statement,
    provenance_fields,
    read_provenance,
    read_statement,
)
from spectra_cli.archive.content.scalars_group import model_scalar, read_scalars
from spectra_cli.archive.content.vectors import read_digests
from spectra_cli.archive.file.file_access import has_seal, opened
from spectra_cli.archive.file.guard import damaged
from spectra_cli.archive.file.held import HeldGroup
from spectra_cli.core.errors import ArchiveError, NewerFormatError, NoArchiveError
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Provenance

NOT_MEASUREMENTS = frozenset({SCALARS_GROUP, *COLUMNS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One checkpoint on disk: the file and row it lies in, and what the row says.

    Attributes:
        table_digest: of the table that the row is of; tells whether the file was replaced since.
    """

    file: Path
    index: int
    row: Row
    table_digest: str


def read_entries(path: Path) -> tuple[Provenance, list[Entry], Statement]:
    """The provenance and the table of checkpoints of one file, and what it says of its run; no spectra.

    Raises:
        ArchiveError: no archive, of a newer version, incomplete or damaged.
    """
    with opened(path) as root:
        check_header(path, root)
        provenance = read_provenance(root)
        rows = read_columns(root)
        statement = read_statement(root)
        digest = table_digest(provenance, rows, statement)
        if digest != root.attrs["table_digest"]:
            raise damaged(path, "the table of checkpoints does not match its digest")
        entries = [
            Entry(file=path, index=i, row=row_of(row), table_digest=digest) for i, row in enumerate(rows)
        ]
        twice = [name for name, n in Counter(identity(e.row.ref) for e in entries).items() if n > 1]
        if twice:
            raise damaged(path, f"{', '.join(twice)} is there more than once")
        return provenance, entries, statement


def table_digest(provenance: Provenance, rows: Sequence[dict[str, Any]], statement: Statement) -> str:
    """sha256 over what `read_entries` reads; a statement counts where there is one, as since format 1.3."""
    said = statement.fields()
    return text_digest(
        [provenance_fields(provenance), [digested(row) for row in rows], *([said] if said else [])]
    )


def read_checkpoint(entry: Entry, shared: Provenance, *, vectors: bool = True) -> CheckpointSpectra:
    """Everything measured on one checkpoint, verified against its digest.

    Args:
        entry: which one; shared: what all checkpoints of its archive share.
        vectors: whether the spectra get their vectors. They are most of an archive that has them; left
            in the file, all else is verified as well.

    Raises:
        ArchiveError: the file is damaged, or was written anew since its table was read.
    """
    return next(read_checkpoints([entry], shared, vectors=vectors))


def read_checkpoints(
    entries: Sequence[Entry],
    shared: Provenance,
    *,
    vectors: bool = True,
    measurements: Sequence[str] | None = None,
) -> Iterator[CheckpointSpectra]:
    """`read_checkpoint` of several, in their order: what lies in one file in a row costs far less so.

    The file stays open while the iterator is at it.

    Args:
        measurements: whose spectra are wanted; None for all. Others are not read where a seal vouches for the
            file; without one they are, to verify the digests.
    """
    for file, group in groupby(entries, key=lambda entry: entry.file):
        together = list(group)
        with opened(file) as opened_root:
            # for one alone it is faster to read its rows than whole variables
            root = HeldGroup(opened_root) if len(together) > 1 else opened_root
            if measurements is not None and has_seal(opened_root):
                if opened_root.attrs["table_digest"] != together[0].table_digest:
                    raise damaged(file, "the file was replaced meanwhile")
                for entry in together:
                    yield _read_unverified(root, entry, shared, vectors=vectors, measurements=measurements)
                continue
            for entry in together:
                checkpoint = _read_unverified(root, entry, shared, vectors=vectors)
                unread = {} if vectors else _unread_vectors(root, entry)
                if content_digest(checkpoint, unread) != entry.row.content_digest:
                    name = identity(entry.row.ref)
                    raise damaged(
                        file, f"{name} does not match its digest, or the file was replaced meanwhile"
                    )
                yield checkpoint if measurements is None else _narrowed(checkpoint, measurements)


def read_model_scalar(
    entries: Sequence[Entry], shared: Provenance, name: str
) -> list[tuple[float, FloatArray]]:
    """A number of the whole model, such as `probe_loss`, of checkpoints that lie in one file.

    A seal vouches for the few bytes that are read. Without one, each checkpoint is read whole and verified
    against its digest.

    Args:
        entries: of one file; shared: what all checkpoints of the archive share.
        name: of the number.

    Returns:
        For each entry the number, NaN where it was not measured, and (num_blocks,) what it is without each
        block.

    Raises:
        ArchiveError: the file is damaged, or was written anew since its table was read.
    """
    with opened(entries[0].file) as root:
        if root.attrs["table_digest"] != entries[0].table_digest:
            raise damaged(entries[0].file, "the file was replaced meanwhile")
        if has_seal(root):
            values, replicates = model_scalar(root, name)
            return [(float(values[e.index]), _present(replicates[e.index])) for e in entries]
    checkpoints = read_checkpoints(entries, shared, vectors=False)
    return [_model_scalar_of(checkpoint, name) for checkpoint in checkpoints]


def _present(row: FloatArray) -> FloatArray:
    present: FloatArray = row[~np.isnan(row)]
    return present


def _model_scalar_of(checkpoint: CheckpointSpectra, name: str) -> tuple[float, FloatArray]:
    found = sorted(
        (s for s in checkpoint.scalars if s.name == name and s.site is None), key=lambda s: s.measurement
    )
    return (found[0].value, _present(found[0].delete_one_block)) if found else (float("nan"), np.empty(0))


def read_measurements(path: Path) -> tuple[str, ...]:
    """Names of the measurements that a file holds spectra of.

    Raises:
        ArchiveError: the file is damaged.
    """
    with opened(path) as root:
        return tuple(name for name, _ in _measurements(root))


def _measurements(root: Any) -> Iterator[tuple[str, Any]]:
    names = (name for name in root if name not in NOT_MEASUREMENTS)
    return ((name, group) for name in names if "kind" in (group := root[name]).attrs)


def _unread_vectors(root: Any, entry: Entry) -> dict[tuple[str, str], str]:
    return {
        (name, address): digest
        for name, group in _measurements(root)
        for address, digest in read_digests(group, entry.index).items()
    }


def _narrowed(checkpoint: CheckpointSpectra, measurements: Sequence[str]) -> CheckpointSpectra:
    spectra = tuple(one for one in checkpoint.spectra if one.measurement in measurements)
    return replace(checkpoint, spectra=spectra)


def _read_unverified(
    root: Any,
    entry: Entry,
    shared: Provenance,
    *,
    vectors: bool,
    measurements: Sequence[str] | None = None,
) -> CheckpointSpectra:
    spectra = [
        pair
        for name, group in _measurements(root)
        if measurements is None or name in measurements
        for pair in read_spectra(group, name, entry.index, vectors=vectors)
    ]
    scalars = read_scalars(root, entry.index)
    row = entry.row
    return CheckpointSpectra(
        ref=row.ref,
        info=row.info,
        provenance=replace(shared, versions=row.versions, execution=row.execution),
        spectra=tuple(spectrum for _, spectrum in sorted(spectra, key=itemgetter(0))),
        scalars=tuple(scalar for _, scalar in sorted(scalars, key=itemgetter(0))),
        skipped=row.skipped,
    )


def check_header(path: Path, root: Any) -> None:
    """Check that an HDF5 file is an archive that this version reads.

    Raises:
        ArchiveError: another format, a newer version, or not written to its end.
    """
    found = root.attrs.get("format")
    if found != FORMAT:
        raise NoArchiveError(
            f"{path} is HDF5 but no archive: its attribute `format` is {found!r}, expected {FORMAT!r}. "
            "Check the path."
        )
    version = str(root.attrs["format_version"])
    parsed = parse_version(version)
    if parsed is None:
        raise damaged(path, f"its format version is {version!r}, expected 1.0 to {FORMAT_VERSION}")
    if parsed > NEWEST_VERSION:
        raise NewerFormatError(
            f"{path} has archive format {version}; the newest that this version reads is {FORMAT_VERSION}. "
            "Update spectra: pip install -U llm-spectra."
        )
    if root.attrs.get("complete", 0) != 1:
        raise ArchiveError(
            f"{path} is incomplete: its attribute `complete` is not 1, so its writer was interrupted. "
            "Remove it and run the scan again."
        )
