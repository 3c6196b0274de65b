"""What an HDF5 file claims, held against what it is, before memory is taken or its links are followed.

A file of a few kilobytes can claim terabytes (shapes that nothing was written to, streams that inflate, a
text named a million times), lead out of itself (external links and storage, virtual datasets), or send HDF5
round in its global heap for ever. Archives need none of that.

The global heap, where HDF5 keeps texts, is checked without HDF5: a few zero bytes in it are an endless loop.
Layout of a collection (HDF5 File Format Specification, version 3, section III.E): `GCOL`, version 1, three
reserved bytes, its size; then objects of a 16-byte head (index, count, reserved, size) and data padded to
8 bytes. Index 0 is free space, of which the size includes the head.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5o, h5s, h5t, h5z

from spectra_cli.archive.content.vectors import SIDES
from spectra_cli.core.errors import ArchiveError

# The largest array that is read at once is a checkpoint's row of a variable: 147 MB of block profiles for a
# model of 560 matrices of rank 8192. Rows shrink under gzip only where they are padding.
_ROW_BYTES = 1 << 26
_ROW_BYTES_OF_FILE = 64
_CHUNK_BYTES = 1 << 26
# Deflate shrinks by 1032 at most, so that a chunk stored in this much cannot inflate beyond 264 MiB.
_HARMLESS_STORED_BYTES = 1 << 18
_TEXT_ELEMENT_BYTES = 16  # length, address of the heap, place in it
_ATTRIBUTE_BYTES = 1 << 20
_ATTRIBUTES = 1000
_TEXTS_BYTES = 1 << 10  # places of the texts of one attribute, of which archives have one
_DEPTH = 8
_MIN_OBJECT_BYTES = 64
_FILTERS = frozenset({(), (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE), (h5z.FILTER_DEFLATE,)})
_MARK = b"GCOL\x01"
_HEAD = 16
_MIN_COLLECTION = 4096
_OBJECT = struct.Struct("<H6xQ")


def check_structure(path: Path, root: Any, descriptor: int) -> None:
    """Check everything that an open file claims; no data and no text is read through HDF5.

    Args:
        path: of the file, for errors.
        root: the same file, open in h5py.
        descriptor: the same file, open for reading.

    Raises:
        ArchiveError: something claims more than the file can hold, leads out of it, or would not end.
    """
    check = _Check(path, descriptor)
    check.file(root.id)
    check.group(root.id, "", _DEPTH)
    check_heaps(path, descriptor, check.size, check.extents)


class _Check:
    """One pass over a file; it counts what it meets."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = os.fstat(descriptor).st_size
        self.extents: list[tuple[int, int]] = []  # of chunks: (first byte, bytes)
        self._descriptor = descriptor
        self._objects_left = max(1000, self.size // _MIN_OBJECT_BYTES)
        self._stored_left = self.size
        self._texts_left = self.size

    def refuse(self, where: str, found: str) -> ArchiveError:
        return ArchiveError(
            f"{self.path} cannot be read safely: /{where} {found}. `spectra scan` writes no such files; "
            "nothing was read from it. Check where it comes from, or scan again."
        )

    def file(self, file_id: Any) -> None:
        created = file_id.get_create_plist()
        if created.get_sizes() != (8, 8) or created.get_userblock():
            raise self.refuse("", "has addresses that are not of 8 bytes from the start of the file")

    def group(self, group: Any, where: str, depth: int) -> None:
        self.attributes(group, where)
        if not depth:
            raise self.refuse(where, "is nested without end")
        for name in group:
            inner = f"{where}/{os.fsdecode(name)}".lstrip("/")
            self._objects_left -= 1
            if self._objects_left < 0:
                raise self.refuse(inner, "is one of more objects than a file of this size can hold")
            if group.links.get_info(name).type != h5l.TYPE_HARD:
                raise self.refuse(inner, "is a link to another place or file")
            child = h5o.open(group, name)
            if isinstance(child, h5py.h5g.GroupID):
                self.group(child, inner, depth - 1)
            elif isinstance(child, h5d.DatasetID):
                self.attributes(child, inner)
                self.dataset(child, inner)

    def attributes(self, node: Any, where: str) -> None:
        count = h5a.get_num_attrs(node)
        if count > _ATTRIBUTES:
            raise self.refuse(where, f"has {count:,} attributes")
        for index in range(count):
            attribute = h5a.open(node, index=index)
            size = attribute.get_storage_size()
            if size > (_TEXTS_BYTES if size > _TEXTS_BYTES and _has_heap(attribute) else _ATTRIBUTE_BYTES):
                raise self.refuse(where, f"has an attribute of {size:,} bytes")

    def dataset(self, dataset: Any, where: str) -> None:
        created = dataset.get_create_plist()
        layout = created.get_layout()
        if layout == h5d.VIRTUAL or created.get_external_count():
            raise self.refuse(where, "keeps its numbers in other files")
        space = dataset.get_space()
        if space.get_simple_extent_type() == h5s.NULL:
            return
        is_text = _has_heap(dataset)
        item = _TEXT_ELEMENT_BYTES if is_text else dataset.get_type().get_size()
        num_bytes = space.get_simple_extent_npoints() * item
        if is_text and layout != h5d.CONTIGUOUS:
            raise self.refuse(where, "is text that is not stored in one piece")
        if layout == h5d.CHUNKED:
            self.chunked(dataset, created, where)
            return
        self._stored_left -= dataset.get_storage_size()
        if num_bytes != dataset.get_storage_size() or self._stored_left < 0:
            raise self.refuse(
                where, f"claims {num_bytes:,} bytes and stores {dataset.get_storage_size():,} of them"
            )
        if num_bytes and is_text:
            self.texts(dataset, num_bytes, where)

    def texts(self, dataset: Any, num_bytes: int, where: str) -> None:
        """The lengths of texts, read without HDF5: no text of an archive is stored once and named twice."""
        start = dataset.get_offset()
        stored = b"" if start is None else os.pread(self._descriptor, num_bytes, start)
        if len(stored) != num_bytes or num_bytes % _TEXT_ELEMENT_BYTES:
            raise self.refuse(where, f"claims {num_bytes:,} bytes that are not in the file")
        lengths = np.frombuffer(stored, "<u4").reshape(-1, _TEXT_ELEMENT_BYTES // 4)[:, 0]
        self._texts_left -= int(lengths.sum(dtype=np.uint64))
        if self._texts_left < 0:
            raise self.refuse(where, "claims longer texts than the file can hold")

    def chunked(self, dataset: Any, created: Any, where: str) -> None:
        item, shape = dataset.get_type().get_size(), dataset.shape
        filters = tuple(created.get_filter(i)[0] for i in range(created.get_nfilters()))
        if filters not in _FILTERS:
            raise self.refuse(where, f"is stored through the HDF5 filters {filters}")
        chunk = _product(created.get_chunk()) * item
        is_vectors = where.rpartition("/")[2] in SIDES and len(shape) > 2
        row = _product(shape[2:] if is_vectors else shape[1:]) * item
        allowed = max(_ROW_BYTES, _ROW_BYTES_OF_FILE * self.size)
        if chunk > _CHUNK_BYTES or row > allowed or shape[0] > max(1 << 16, self.size):
            raise self.refuse(where, f"claims {_product(shape) * item:,} bytes in chunks of {chunk:,}")
        dataset.chunk_iter(lambda stored: self.extents.append((stored.byte_offset, stored.size)))
        self._stored_left -= dataset.get_storage_size()
        if self._stored_left < 0:
            raise self.refuse(where, "claims chunks that share their place in the file")
        if filters:
            self.inflated(dataset, chunk, where)

    def inflated(self, dataset: Any, chunk: int, where: str) -> None:
        for start, stored in self.extents[len(self.extents) - dataset.get_num_chunks() :]:
            if stored > _HARMLESS_STORED_BYTES:
                stream = zlib.decompressobj()
                stream.decompress(os.pread(self._descriptor, stored, start), chunk + 1)
                if not stream.eof:
                    raise self.refuse(where, f"inflates to more than the {chunk:,} bytes of its chunk")


def _has_heap(node: Any) -> bool:
    kind = node.get_type()
    is_text = kind.get_class() == h5t.STRING and kind.is_variable_str()
    return bool(is_text or kind.get_class() == h5t.VLEN)


def _product(lengths: Any) -> int:
    product = 1
    for length in lengths:
        product *= int(length)
    return product


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
