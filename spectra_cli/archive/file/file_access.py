"""Opening archive files for reading: whatever is wrong with the bytes becomes an ArchiveError.

Before HDF5 sees a byte of a file in this process, its seal was checked, or another process has read it to
its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from spectra_cli.archive.content.layout import FORMAT, NEWEST_VERSION, SEALED_SINCE, parse_version
from spectra_cli.archive.file.guard import Signature, damaged, signature_of, walk_in_child
from spectra_cli.archive.file.seal import broken_seal, has_valid_seal
from spectra_cli.archive.file.structure import check_structure
from spectra_cli.core.errors import ArchiveError, BusyError, NoArchiveError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ATTEMPTS = 20
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
# Files that were checked, so that a command that opens one twice checks it once: signature -> has a seal.
_checked: dict[Signature, bool] = {}
_sealed: set[Signature] = set()  # those whose seal fits, what they claim not checked yet
_walked: set[Signature] = set()  # those without one that another process has read to their end


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The HDF5 file at `path`, open for reading, while every failure to make sense of it is one error.

    Files are replaced whole and never changed in place, so no lock is taken: reading works on
    read-only and network file systems.

    Raises:
        ArchiveError: missing, no HDF5, truncated or damaged, not as it was sealed, or unsafe to read.
    """
    try:
        with _open_checked(path) as file:
            yield file
    except FileNotFoundError as error:
        raise NoArchiveError(
            f"no archive at {path}. Check the path, or make one with `spectra scan`."
        ) from error
    except (IsADirectoryError, PermissionError) as error:
        raise ArchiveError(f"cannot read {path}: {error.strerror}. Expected an archive file.") from error
    except _DAMAGE as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def has_seal(root: Any) -> bool:
    """Whether a file from `opened` is vouched for by its seal, number for number."""
    return _checked[signature_of(root.id.get_vfd_handle())]


def walk_unsealed(paths: Iterable[Path]) -> None:
    """Have all files without a seal walked by one process, where opening each alone would start one each.

    What is wrong with one of them is told when it is opened.
    """
    waiting = []
    for path in paths:
        with suppress(ArchiveError, OSError), path.open("rb") as stream:
            signature = signature_of(stream.fileno())
            if signature not in _checked and stream.read(len(_SIGNATURE)) == _SIGNATURE:
                if signature in _sealed or has_valid_seal(stream.fileno(), path):
                    _sealed.add(signature)
                else:
                    waiting.append(path)
    if len(waiting) > 1:
        with suppress(ArchiveError, OSError):
            _walked.update(walk_in_child(waiting).values())


@contextmanager
def _open_checked(path: Path) -> Iterator[Any]:
    for _ in range(_ATTEMPTS):
        with path.open("rb") as stream:
            _check_start(path, stream)
            before = signature_of(stream.fileno())
            sealed = _checked.get(before)
            if sealed is None:
                sealed = before in _sealed or has_valid_seal(stream.fileno(), path)
                if not sealed and before not in _walked:
                    _walked.update(walk_in_child([path]).values())
                    if before not in _walked:  # it was another file by then
                        continue
            with _open(path) as file:
                # The path may lead to another file by now, which nobody has checked.
                if signature_of(file.id.get_vfd_handle()) != before:
                    continue
                if before not in _checked:
                    check_structure(path, file, stream.fileno())
                    _check_promise(path, file, sealed=sealed)
                    _checked[before] = sealed
                yield file
                return
    raise BusyError(f"{path} keeps changing while it is read. Try again when the scan rests.")


def _check_start(path: Path, stream: BinaryIO) -> None:
    start = stream.read(len(_SIGNATURE))
    if start != _SIGNATURE:
        raise NoArchiveError(
            f"{path} is not an archive: it starts with {start!r}, expected an HDF5 file. "
            "Check the path; an archive is what `spectra scan` writes."
        )


def _check_promise(path: Path, file: Any, *, sealed: bool) -> None:
    if sealed or file.attrs.get("format") != FORMAT:
        return
    version = parse_version(str(file.attrs["format_version"]))
    if version and SEALED_SINCE <= version <= NEWEST_VERSION:
        raise broken_seal(path, "its format promises a seal at the end of the file, and there is none")


def _open(path: Path) -> Any:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        # HDF5 wants the flag of whoever in this process has the file open already (xarray, say).
        if "locking" not in str(error):
            raise
        return h5py.File(path, "r")
