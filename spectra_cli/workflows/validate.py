"""Check an archive, named by its path or by the folder it was scanned from."""

from __future__ import annotations

from pathlib import Path

from spectra_cli.archive.layout import resolve_archive
from spectra_cli.archive.validate import Finding
from spectra_cli.archive.validate import validate as validate_archive


def validate(archive: str) -> tuple[Path, tuple[Finding, ...]]:
    """The archive's path, and everything in it that breaks or strains the format.

    Raises:
        ArchiveError: there is no such archive, or it cannot be opened at all.
    """
    path = resolve_archive(archive, Path.cwd())
    return path, tuple(validate_archive(path))
