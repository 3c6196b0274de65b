"""Check an archive, named by its path or by the folder it was scanned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spectra_cli.archive.content.layout import resolve_archive
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.validate import Fault
from spectra_cli.archive.validate import validate as validate_archive
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.paths import AnyPath
from spectra_cli.workflows.identity.named_archive import check_is_of


def validate(archive: AnyPath) -> tuple[Path, tuple[Fault, ...]]:
    """The archive's path, and everything in it that breaks or strains the format.

    Raises:
        ArchiveError: there is no such archive, or it is of other checkpoints than those that were named.
    """
    path = resolve_archive(archive, Path.cwd())
    try:
        opened = open_archive(path)
    except ArchiveError:
        pass  # which is a finding
    else:
        check_is_of(opened, archive)
    return path, tuple(validate_archive(path))


def unfinished_document(path: Path) -> dict[str, Any] | None:
    """What a scan still owes an archive, as a JSON value; None where nothing, or where it cannot be read."""
    try:
        owed = open_archive(path).unfinished
    except ArchiveError:
        return None
    return None if owed is None else owed.document()
