from __future__ import annotations

import hashlib

import h5py
import pytest
import xarray

from spectra_cli.archive.file.seal import BLOCK_BYTES, MAGIC, SEAL_BYTES, has_valid_seal, seal, seal_of
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import ArchiveError


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 5])
def test_the_seal_is_the_digest_of_the_digests_of_blocks(tmp_path, size):
    path = tmp_path / "a"
    content = bytes(i * i % 251 for i in range(1000)) * (size // 1000 + 1)
    path.write_bytes(content[:size])
    blocks = [content[i : min(i + 2**22, size)] for i in range(0, size, 2**22)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).digest()
    with path.open("rb") as file:
        assert seal_of(file.fileno(), size) == b"SPSEAL1\n" + size.to_bytes(8, "little") + digest
    seal(path)
    once = path.read_bytes()
    seal(path)
    assert path.read_bytes() == once
    assert len(once) == size + SEAL_BYTES
    with path.open("rb") as file:
        assert has_valid_seal(file.fileno(), path)


def test_a_file_without_a_seal_and_one_of_other_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file:
        assert not has_valid_seal(file.fileno(), path)
    seal(path)
    whole = path.read_bytes()
    for damaged in (b"y" + whole[1:], whole[:50] + whole[-SEAL_BYTES:], b"x" + whole):
        path.write_bytes(damaged)
        with path.open("rb") as file, pytest.raises(ArchiveError, match="damaged or changed by another tool"):
            has_valid_seal(file.fileno(), path)


def test_a_file_that_becomes_shorter_while_it_is_sealed_is_an_error(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file, pytest.raises(ArchiveError, match="became shorter"):
        seal_of(file.fileno(), 101)


def test_other_readers_ignore_the_seal(tmp_path, series):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, series)
    assert path.read_bytes()[-SEAL_BYTES:].startswith(MAGIC)
    with h5py.File(path) as root:
        assert root.attrs["format_version"] == "1.3"
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        assert tree["scalars/loss/probe_loss/value"].sel(site="").values.tolist() == [3.5] * 4
