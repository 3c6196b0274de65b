"""A file of a checkpoint, opened once: all is read through its descriptor, and nothing is mapped.

A mapped file that is truncated meanwhile ends the process at the next look at its pages; a read that comes
short is an error like any other. `Pages` are memory in which a file's bytes stand at their own places, taken
only where they are read: it costs what a mapping of the file costs, and one copy more; what is not asked for
takes no memory.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.unchanged import note_file, state_of

_PIECE = 1 << 30  # one read gives at most 2 GiB
# read and summed while it is in the processor's cache
_CACHED_PIECE = 1 << 20
# smaller ones come from the heap: a mapping takes whole pages
_LEAST_MAPPED = 1 << 16
MAX_DIMENSIONS = 64  # of PyTorch's operations


class StoredFile:
    """A regular file, open for reading.

    Attributes:
        path: where it was opened.
        state: of the open file; `size`: its bytes.
    """

    def __init__(self, path: Path, *, may_grow: bool = False) -> None:
        """Open it; `may_grow`: a log, which may get longer while the checkpoint is read.

        Raises:
            OSError: it is not there.
            CheckpointError: it may not be read, is no regular file, or another one than was read before.
        """
        self.path = path
        # without waiting for the other end of a pipe
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
        except PermissionError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}; make it readable") from error
        try:
            found = os.fstat(self._descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise CheckpointError(
                    f"{path}: no regular file but one of mode {stat.filemode(found.st_mode)}; replace it or "
                    "move it away"
                )
            self.state = state_of(found)
            note_file(path, self.state, may_grow=may_grow)
        except CheckpointError:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self.state.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def read(self, begin: int, length: int) -> bytes:
        """Exactly `length` bytes from `begin`.

        Raises:
            CheckpointError: the file ends before.
        """
        content = bytearray(max(0, min(length, self.size - begin)))
        if len(content) < length:
            self._too_short(begin, length, len(content))
        self.read_into(memoryview(content), begin)
        return bytes(content)

    def read_into(self, room: memoryview, begin: int) -> None:
        """Fill `room` with the bytes from `begin`.

        Raises:
            CheckpointError: the file ends before.
        """
        done = self.read_up_to(room, begin)
        if done < len(room):
            self._too_short(begin, len(room), done)

    def as_stream(self, begin: int = 0, length: int | None = None) -> io.BufferedReader:
        """A part of the file, the whole by default, as a file object of its own."""
        return io.BufferedReader(_Part(self, begin, self.size - begin if length is None else length))

    def read_up_to(self, room: memoryview, begin: int) -> int:
        """Fill `room` as far as the file goes; how many bytes that were."""
        done = 0
        while done < len(room):
            count = os.preadv(self._descriptor, [room[done : done + _PIECE]], begin + done)
            if count == 0:
                break
            done += count
        return done

    def _too_short(self, begin: int, length: int, found: int) -> None:
        raise CheckpointError(
            f"{self.path}: {found} bytes at byte {begin} where {length} were expected: it is half-written, "
            "or was truncated while it was being read; copy or save it again"
        )


class _Part(io.RawIOBase):
    """Bytes `begin` to `begin + length` of an open file, as a file, which ends where the file does."""

    def __init__(self, file: StoredFile, begin: int, length: int) -> None:
        self._file, self._begin, self._length = file, begin, length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        if start + offset < 0:
            raise OSError(f"byte {start + offset} of {self._file.path} lies before its beginning")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = memoryview(buffer)[: max(0, self._length - self._at)]
        count = self._file.read_up_to(wanted, self._begin + self._at)
        self._at += count
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bytes `begin` to `end` of the part, what they are, and their CRC-32 where the file states it."""

    begin: int
    end: int
    name: str = ""
    crc32: int | None = None


class Pages:
    """Room for `length` bytes of an open file from `begin` on; zeros until they are filled.

    Attributes:
        content: (length,) uint8, a tensor of the room itself.
    """

    def __init__(self, file: StoredFile, begin: int, length: int) -> None:
        """Take no memory yet, however long the part is."""
        self._file, self._begin = file, begin
        self.content = _room(length)

    def fill(self, ranges: Iterable[Range]) -> None:
        """Read these bytes, and check those that come with a sum.

        Raises:
            CheckpointError: the file ends before, or has other bytes than when it was written.
        """
        ordered = sorted(ranges, key=lambda r: r.begin)
        # reading and summing release the interpreter's lock
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for _ in pool.map(self._fill, ordered):
                pass

    def _fill(self, wanted: Range) -> None:
        found = 0
        for begin in range(wanted.begin, wanted.end, _CACHED_PIECE):
            piece = self.content[begin : min(begin + _CACHED_PIECE, wanted.end)].numpy()
            self._file.read_into(piece.data, self._begin + begin)
            if wanted.crc32 is not None:
                found = zlib.crc32(piece.data, found)
        if wanted.crc32 is not None and found != wanted.crc32:
            raise CheckpointError(
                f"{self._file.path}: {wanted.name} is damaged: the file states the checksum "
                f"{wanted.crc32:08x} for it, and its bytes give {found:08x}; copy or save it again"
            )


def _room(length: int) -> Tensor:
    if length < _LEAST_MAPPED or sys.platform == "win32":
        return torch.zeros(length, dtype=torch.uint8)
    # a checkpoint with its optimizer may be larger than the memory that its weights need
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    try:
        pages = mmap.mmap(-1, length, flags=flags)
    except OSError as error:
        raise MemoryError(f"cannot allocate memory: {length} bytes: {error}") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)  # a fault for each 4 KiB would take longer than to read it
    return torch.frombuffer(pages, dtype=torch.uint8)


def is_possible(shape: Sequence[object]) -> bool:
    """Whether a tensor can have a shape as a file states it: at most 64 whole numbers, strides that 64 bits
    hold; to be asked before anything is multiplied or made of it.

    >>> [is_possible(shape) for shape in ((), (0, 3), (-1,), (2.0,), (0, 2**62, 2), (1,) * 65)]
    [True, True, False, False, False, False]
    """
    sizes = [size for size in shape[: MAX_DIMENSIONS + 1] if type(size) is int and 0 <= size < 2**63]
    if len(sizes) != len(shape) or len(shape) > MAX_DIMENSIONS:
        return False
    # also where a size is 0: strides are products of the others
    return math.prod(max(size, 1) for size in sizes) < 2**63
