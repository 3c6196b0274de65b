"""Writing a file so that at every moment either the old or the new one is there, whole."""

from __future__ import annotations

import errno
import glob
import io
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py

from spectra_cli.archive.file.seal import seal_of
from spectra_cli.core.errors import UnwrittenArchiveError
from spectra_cli.core.process.shield import Shielded

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_STALE_AFTER_SECONDS = 24 * 3600.0
_TEMPORARY = re.compile(r"\..+\.([^.]+)\.(\d+)\.[0-9a-f]{8}\.tmp")


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())


class _Sink(io.FileIO):
    """A file for HDF5 that remembers the first failure instead of raising it.

    HDF5 crashes the process when a write fails, and when it reads back anything else than it wrote. So it
    never hears of a full disk: what it writes from then on is held in memory, where it finds it again, until
    it closes in peace and the failure is raised.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+b")
        self.failure: OSError | None = None
        self._held: list[tuple[int, bytes]] = []

    def write(self, data: Any, /) -> int:
        remaining = memoryview(data).cast("B")
        size = remaining.nbytes
        try:
            while self.failure is None and remaining.nbytes:
                remaining = remaining[super().write(remaining) :]
        except OSError as error:
            self.failure = error
        if remaining.nbytes:
            self._held.append((self.tell(), bytes(remaining)))
            self.seek(remaining.nbytes, io.SEEK_CUR)
        return size

    def readinto(self, buffer: Any, /) -> int:
        if self.failure is None:
            return super().readinto(buffer)
        view, start = memoryview(buffer).cast("B"), self.tell()
        there = super().readinto(view)
        view[there:] = bytes(view.nbytes - there)
        for offset, data in self._held:
            low, high = max(offset, start), min(offset + len(data), start + view.nbytes)
            if low < high:
                view[low - start : high - start] = data[low - offset : high - offset]
        self.seek(start + view.nbytes)
        return view.nbytes

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size) if self.failure is None else size or 0
        except OSError as error:
            self.failure = error
            return size or 0

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self.failure is not None:
            raise self.failure


class NewFile:
    """An HDF5 file being written, and the means to stop early when the disk is full."""

    def __init__(self, root: Any, sink: _Sink, shield: Shielded) -> None:
        self.root = root
        self._sink = sink
        self._shield = shield

    def check(self) -> None:
        """Raise the first failure to write, which HDF5 itself was not told of, or an interrupt that waits."""
        self._sink.check()
        self._shield.check()


def temporary_beside(path: Path) -> Path:
    """A new name for what is to become `path`; who wrote it stands in it, so that it can be cleared away."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _open_temporary(path: Path) -> tuple[_Sink, Path]:
    # Another process may remove an emptied parts folder between mkdir and open.
    for attempt in range(10):
        temporary = temporary_beside(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _Sink(temporary), temporary
        except FileNotFoundError:
            if attempt == 9:
                raise
    raise AssertionError("unreachable")


@contextmanager
def replacing(path: Path) -> Iterator[NewFile]:
    """A new HDF5 file, sealed, that takes the place of `path` when the block ends well.

    The bytes depend on what is written alone: no times, no random choices.

    Raises:
        ArchiveError: it cannot be written; what was at `path` is untouched, nothing half is left.
    """
    with Shielded() as shield:
        yield from _replacing(path, shield)


def _replacing(path: Path, shield: Shielded) -> Iterator[NewFile]:
    temporary: Path | None = None
    try:
        sink, temporary = _open_temporary(path)
        with sink:
            # v110 puts checksums on the structure of the file; netCDF and xarray read it.
            try:
                with h5py.File(sink, "w", libver=("v110", "v110")) as root:
                    yield NewFile(root, sink, shield)
            except (OSError, RuntimeError, ValueError, LookupError):
                # HDF5 may stumble over its own dropped writes: then the disk is what to report
                sink.check()
                raise
            sink.check()
            num_bytes = sink.seek(0, io.SEEK_END)
            sink.write(seal_of(sink.fileno(), num_bytes))
            sink.check()
            os.fsync(sink.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise UnwrittenArchiveError(_why_not_written(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _why_not_written(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    advice = "Check that the folder is writable"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "Free space there"
    return (
        f"cannot write {path}: {reason}. What was there before is untouched and finished parts are kept. "
        f"{advice}, or choose another place with -o, and run the command again."
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str, *, replace: bool = True) -> bool:
    """Write a small file, whole or not at all.

    Args:
        path: of the file; its folder is made.
        text: its content.
        replace: False leaves a file that is there alone; of two such writers at once, one comes first.

    Returns:
        Whether it was written.

    Raises:
        ArchiveError: it cannot be.
    """
    for attempt in range(10):
        temporary = temporary_beside(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text)
            if replace:
                os.replace(temporary, path)
            else:
                _take_the_name(temporary, path)
        except FileExistsError:
            return False
        except FileNotFoundError:  # another process removed the emptied folder meanwhile
            if attempt == 9:
                raise
        except OSError as error:
            raise UnwrittenArchiveError(_why_not_written(path, error)) from error
        else:
            return True
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    raise AssertionError("unreachable")


def _take_the_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with path.open("x") as file:  # a file system without links
            file.write(temporary.read_text())


def remove_stale_temporaries(folder: Path, *, name_prefix: str = "") -> None:
    """Remove what killed writers of files `name_prefix...` left in a folder.

    Stale is a file whose process on this machine is gone, and any file that nobody touched for a day.
    """
    for path in folder.glob(f".{glob.escape(name_prefix)}*.tmp"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and _is_stale(path, host=match[1], pid=int(match[2])):
            with suppress(OSError):  # somebody else's to remove
                path.unlink(missing_ok=True)


def runs_here(pid: int) -> bool:
    """Whether a process of this machine has the number, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _is_stale(path: Path, *, host: str, pid: int) -> bool:
    if host == _host() and not runs_here(pid):
        return True
    # It runs, or its number was given to another process: the file's age tells.
    try:
        return time.time() - path.stat().st_mtime > _STALE_AFTER_SECONDS
    except FileNotFoundError:
        return False
