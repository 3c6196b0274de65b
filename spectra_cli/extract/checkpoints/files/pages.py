"""Memory in which a file's bytes stand at their own places, taken only where they are read.

It costs what a mapping of the file costs, and one copy more; what is not asked for takes no memory.
"""

from __future__ import annotations

import mmap
import os
import sys
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile

# read and summed while it is in the processor's cache
_PIECE = 1 << 20
# smaller ones come from the heap: a mapping takes whole pages
_LEAST_MAPPED = 1 << 16


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
        for begin in range(wanted.begin, wanted.end, _PIECE):
            piece = self.content[begin : min(begin + _PIECE, wanted.end)].numpy()
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
