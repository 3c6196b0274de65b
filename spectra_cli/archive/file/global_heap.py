"""The global heap, where HDF5 keeps texts, checked without HDF5: a few zero bytes in it are an endless loop.

Layout of a collection (HDF5 File Format Specification, version 3, section III.E): `GCOL`, version 1, three
reserved bytes, its size; then objects of a 16-byte head (index, count, reserved, size) and data padded to
8 bytes. Index 0 is free space, of which the size includes the head.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from spectra_cli.core.errors import ArchiveError

_MARK = b"GCOL\x01"
_HEAD = 16
_MIN_COLLECTION = 4096
_OBJECT = struct.Struct("<H6xQ")


def check_heaps(path: Path, descriptor: int, size: int, chunks: Sequence[tuple[int, int]]) -> None:
    """Check that a walk over each collection ends.

    Args:
        path: of the file, for errors.
        descriptor: of the open file.
        size: of the file in bytes.
        chunks: (first byte, bytes) of compressed or other numbers, among which no heap lies.

    Raises:
        ArchiveError: one does not.
    """
    for start, length in _between(size, chunks):
        region = os.pread(descriptor, length, start)
        place = region.find(_MARK)
        while place >= 0:
            _check_collection(path, descriptor, start + place, size)
            place = region.find(_MARK, place + 1)


def _between(size: int, chunks: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What lies between the chunks: (first byte, bytes)."""
    end = 0
    for start, length in sorted(chunks):
        if start > end:
            yield end, start - end
        end = max(end, start + length)
    if size > end:
        yield end, size - end


def _check_collection(path: Path, descriptor: int, start: int, file_size: int) -> None:
    head = os.pread(descriptor, _HEAD, start)
    size = int.from_bytes(head[8:], "little")
    if len(head) < _HEAD or size < _MIN_COLLECTION or start + size > file_size:
        return  # HDF5 refuses it itself, or it is no heap
    collection = os.pread(descriptor, size, start)
    place = _HEAD
    while place + _HEAD <= size:
        index, stored = _OBJECT.unpack_from(collection, place)
        step = _HEAD + (stored + 7) // 8 * 8 if index else stored
        if not _HEAD <= step <= size - place:
            raise ArchiveError(
                f"{path} is damaged: an object of {stored} bytes at byte {start + place} does not fit the "
                "heap of texts it lies in. Nothing was read from it. Restore it from a copy, or scan again."
            )
        place += step
