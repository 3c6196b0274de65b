"""Bytes that send HDF5 round for ever are an error in less than a second, sealed or not."""

from __future__ import annotations

import struct
import time

import h5py
import pytest

from spectra_cli.archive.file.global_heap import check_heaps
from spectra_cli.archive.file.seal import seal
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import ArchiveError


def collection(*objects, size=4096):
    """A heap of objects (index, stored bytes), its rest one free object."""
    body = b"".join(
        struct.pack("<HHIQ", index, 1, 0, stored) + bytes((stored + 7) // 8 * 8) for index, stored in objects
    )
    rest = size - 16 - len(body)
    body += struct.pack("<HHIQ", 0, 0, 0, rest) if rest >= 16 else b""
    return (b"GCOL\x01\0\0\0" + struct.pack("<Q", size) + body).ljust(size, b"\0")


def checked(tmp_path, content, chunks=()):
    path = tmp_path / "a"
    path.write_bytes(content)
    with path.open("rb") as file:
        check_heaps(path, file.fileno(), len(content), chunks)


@pytest.mark.parametrize("objects", [[], [(1, 1)], [(1, 5), (2, 0), (3, 4000)], [(1, 16)] * 20])
def test_whole_heaps_pass_wherever_they_lie(tmp_path, objects):
    checked(tmp_path, b"abc" + collection(*objects) + b"x" * 99 + collection(*objects))


@pytest.mark.parametrize(
    ("index", "stored"), [(0, 0), (0, 8), (1, 2**64 - 16), (1, 2**64 - 1), (0, 2**63), (3, 4096)]
)
def test_an_object_that_leads_nowhere_is_an_error(tmp_path, index, stored):
    heap = bytearray(collection((1, 40), (2, 40)))
    heap[16 + 56 : 32 + 56] = struct.pack("<HHIQ", index, 1, 0, stored)
    with pytest.raises(ArchiveError, match="at byte 79 does not fit"):
        checked(tmp_path, b"1234567" + heap)
    # among the numbers of a chunk it is no heap
    checked(tmp_path, b"1234567" + heap, [(7, 4096)])


def test_the_name_of_a_heap_in_numbers_is_no_heap(tmp_path):
    checked(tmp_path, b"GCOL\x01" * 100)
    checked(tmp_path, b"GCOL\x01\0\0\0" + bytes([255] * 8) + bytes(5000))


@pytest.mark.parametrize("sealed", [True, False])
def test_zeros_in_the_heap_of_an_archive_end_at_once(tmp_path, series, sealed):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, series[:1])
    with h5py.File(path, "r+") as root:
        root.attrs["format_version"] = "1.2"
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL\x01")
    first = struct.unpack_from("<Q", content, heap + 24)[0]
    second = heap + 32 + (first + 7) // 8 * 8
    content[second : second + 32] = bytes(32)
    path.write_bytes(content)
    if sealed:
        seal(path)
    start = time.monotonic()
    with pytest.raises(ArchiveError, match="does not fit the heap of texts"):
        open_archive(path)
    # the child that opens what has no seal takes about half a second
    assert time.monotonic() - start < 10
