"""Files of a few kilobytes that claim gigabytes, lead out of themselves or never end."""

from __future__ import annotations

import resource
import struct
import time
import zlib

import h5py
import numpy as np
import pytest

from spectra_cli.archive.file.seal import seal
from spectra_cli.archive.file.structure import check_heaps
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.validate import validate
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import ArchiveError

GIB = 1 << 30


@pytest.fixture
def path(tmp_path, series):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, series[:2])
    return path


def replaced(name, **storage):
    def change(root):
        del root[name]
        root.create_dataset(name, **storage)

    return change


def bomb(root):
    """A chunk that is claimed to be of half a MiB and inflates to half a GiB."""
    del root["weight/eigenvalues"]
    data = root.create_dataset(
        "weight/eigenvalues", shape=(2, 3, 1 << 16), dtype="f8", chunks=(1, 1, 1 << 16), compression="gzip"
    )
    stream = zlib.compressobj()
    zeros = bytes(1 << 20)
    packed = b"".join(stream.compress(zeros) for _ in range(512)) + stream.flush()
    data.id.write_direct_chunk((0, 0, 0), packed)


def one_text_many_times(root):
    """A text of 50 KB that 100,000 cells name: the places of the heap are copied."""
    del root["scalars/loss/probe_loss/status"]
    text = root.create_dataset("scalars/loss/probe_loss/status", shape=(100_000,), dtype=h5py.string_dtype())
    text[0] = "x" * 50_000
    root.flush()
    place = text.id.get_offset()
    name = root.filename
    root.close()
    with open(name, "r+b") as file:
        file.seek(place)
        reference = file.read(16)
        file.seek(place)
        file.write(reference * 100_000)


def virtual(root):
    del root["weight/eigenvalues"]
    layout = h5py.VirtualLayout(shape=(2, 3, 6), dtype="f8")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", shape=(2, 3, 6))
    root.create_virtual_dataset("weight/eigenvalues", layout)


def attribute(root):
    root.attrs.create("settings", np.full(400, b"x" * 1000, dtype=object), dtype=h5py.string_dtype())


HOSTILE = {
    "a row of terabytes": (
        replaced("weight/eigenvalues", shape=(2, 3, 1 << 40), dtype="f8", chunks=(1, 1, 1000)),
        "claims",
    ),
    "chunks of gigabytes": (
        replaced(
            "weight/eigenvalues", shape=(1, 1, 6), maxshape=(1, 1, None), dtype="f8", chunks=(1, 1, GIB // 8)
        ),
        "claims",
    ),
    "a million checkpoints": (
        replaced("weight/eigenvalues", shape=(1 << 20, 1, 1), dtype="f8", chunks=(1, 1, 1)),
        "claims",
    ),
    "a variable never written": (replaced("num_parameters", shape=(1 << 16,), dtype="i8"), "stores 0"),
    "texts never written": (
        replaced("weight/site", shape=(1 << 16,), dtype=h5py.string_dtype()),
        "stores 0",
    ),
    "texts in chunks": (
        replaced("weight/site", data=["x"] * 9, dtype=h5py.string_dtype(), compression="gzip"),
        "not stored in one piece",
    ),
    "one text many times": (one_text_many_times, "longer texts than the file"),
    "a stream that inflates": (bomb, "inflates to more"),
    "another filter": (
        replaced("weight/eigenvalues", data=np.zeros((2, 3, 6)), compression="lzf"),
        "filters",
    ),
    "external storage": (
        replaced("weight/eigenvalues", shape=(2, 3, 6), dtype="f8", external="/etc/passwd"),
        "other files",
    ),
    "a virtual dataset": (virtual, "other files"),
    "an external link": (
        lambda root: root.__setitem__("probe_start2", h5py.ExternalLink("/etc/passwd", "/")),
        "link to another",
    ),
    "a soft link": (lambda root: root.__setitem__("x", h5py.SoftLink("/weight")), "link to another"),
    "a group inside itself": (lambda root: root.__setitem__("weight/again", root["weight"]), "without end"),
    "texts of an attribute": (attribute, "attribute of"),
}


UNSEALED = ("one text many times", "a stream that inflates", "an external link")


@pytest.mark.parametrize(
    ("name", "sealed"), [*((name, True) for name in HOSTILE), *((name, False) for name in UNSEALED)]
)
def test_a_hostile_file_is_refused_before_memory_is_taken(path, edited, name, sealed):
    change, message = HOSTILE[name]
    if sealed:
        with edited(path) as root:
            change(root)
    else:
        with h5py.File(path, "r+") as root:
            root.attrs["format_version"] = "1.2"
            change(root)
    assert path.stat().st_size < 2 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArchiveError, match=message):
        list(open_archive(path))
    assert any(message in finding.message for finding in validate(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def test_what_is_not_described_may_be_there(path, series, edited, as_values):
    with edited(path) as root:
        root.create_dataset("mine", data=np.arange(5))
        root["weight"].attrs["remark"] = "looked at on a Monday"
        root.create_group("notes/of/mine")
    assert [as_values(c) for c in open_archive(path)] == [as_values(c) for c in series[:2]]


def test_addresses_of_another_size_are_refused(tmp_path):
    created = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    created.set_sizes(4, 4)
    path = tmp_path / "a.spectra.h5"
    h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, fcpl=created).close()
    with pytest.raises(ArchiveError, match="addresses that are not of 8 bytes"):
        open_archive(path)


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
