"""Opening archive files for reading: whatever is wrong with the bytes becomes an ArchiveError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from spectra_cli.core.errors import ArchiveError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What h5py, numpy and json raise when bytes are not what they should be, and the core types when
# the values cannot be.
_DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The HDF5 file at `path`, open for reading, while every failure to make sense of it is one error.

    Files are replaced whole and never changed in place, so no lock is taken: reading works on
    read-only and network file systems.

    Raises:
        ArchiveError: missing, no HDF5, truncated or damaged.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_SIGNATURE))
        if start != _SIGNATURE:
            raise ArchiveError(
                f"{path} is not an archive: it starts with {start!r}, expected an HDF5 file. "
                "Check the path; an archive is what `spectra scan` writes."
            )
        with _open(path) as file:
            yield file
    except FileNotFoundError as error:
        raise ArchiveError(
            f"no archive at {path}. Check the path, or make one with `spectra scan`."
        ) from error
    except (IsADirectoryError, PermissionError) as error:
        raise ArchiveError(f"cannot read {path}: {error.strerror}. Expected an archive file.") from error
    except _DAMAGE as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def _open(path: Path) -> Any:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        # HDF5 wants the flag of whoever in this process has the file open already (xarray, say).
        if "locking" not in str(error):
            raise
        return h5py.File(path, "r")


def damaged(path: Path, found: str) -> ArchiveError:
    """The error for a file that was an archive once."""
    return ArchiveError(
        f"{path} is damaged ({found}). It cannot be read in full; nothing was guessed. "
        "Restore it from a copy, or move it away and scan again."
    )
