from pathlib import Path

import numpy as np
import pytest

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.shards import GPT2_MAGIC, LLAMA3_MAGIC, read_headerless, read_shard


def write_shard(path: Path, ids, *, magic=GPT2_MAGIC, version=1, dtype="<u2", declared=None) -> Path:
    header = np.zeros(256, dtype="<i4")
    header[:3] = magic, version, len(ids) if declared is None else declared
    path.write_bytes(header.tobytes() + np.asarray(ids, dtype=dtype).tobytes())
    return path


@pytest.mark.parametrize(
    ("magic", "version", "dtype"),
    [(GPT2_MAGIC, 1, "<u2"), (GPT2_MAGIC, 1, "<u4"), (LLAMA3_MAGIC, 7, "<u4")],
)
def test_known_layouts_are_mapped_not_read(tmp_path, magic, version, dtype):
    ids = [5, 0, 40_000, 7]
    shard = read_shard(write_shard(tmp_path / "a.bin", ids, magic=magic, version=version, dtype=dtype))
    assert isinstance(shard, np.memmap)
    assert shard.tolist() == ids


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"magic": 123}, "starts with 123.*20240520 or 20240801.*bin-uint16 or bin-uint32"),
        ({"version": 2}, "version 2; only version 1"),
        ({"magic": LLAMA3_MAGIC, "version": 7}, "declares 4 tokens of 4 bytes and holds 8 bytes"),
        ({"declared": 5}, "declares 5 tokens of 2 or 4 bytes and holds 8 bytes"),
        ({"declared": 3}, "declares 3 tokens"),
        ({"declared": -4}, "declares -4 tokens"),
    ],
)
def test_other_headers_are_refused(tmp_path, options, message):
    with pytest.raises(ProbeError, match=message):
        read_shard(write_shard(tmp_path / "a.bin", [1, 2, 3, 4], **options))


def test_a_shard_that_declares_no_tokens_is_refused(tmp_path):
    with pytest.raises(ProbeError, match="empty, truncated or damaged"):
        read_shard(write_shard(tmp_path / "a.bin", []))


@pytest.mark.parametrize("size", [0, 1023])
def test_a_file_shorter_than_the_header_is_refused(tmp_path, size):
    (tmp_path / "a.bin").write_bytes(bytes(size))
    with pytest.raises(ProbeError, match=f"has {size} bytes, .* header alone has 1024.*bin-uint16"):
        read_shard(tmp_path / "a.bin")


@pytest.mark.parametrize("dtype", ["<u2", "<u4"])
def test_headerless_ids_are_mapped(tmp_path, dtype):
    np.array([1, 2, 65_535], dtype=dtype).tofile(tmp_path / "a.bin")
    ids = read_headerless(tmp_path / "a.bin", dtype)
    assert isinstance(ids, np.memmap)
    assert ids.tolist() == [1, 2, 65_535]


@pytest.mark.parametrize("size", [0, 3])
def test_headerless_files_hold_whole_ids(tmp_path, size):
    (tmp_path / "a.bin").write_bytes(bytes(size))
    with pytest.raises(ProbeError, match=f"has {size} bytes"):
        read_headerless(tmp_path / "a.bin", "<u2")


def test_a_header_is_not_read_as_tokens(tmp_path):
    with pytest.raises(ProbeError, match=r"has a shard's header.*format bin"):
        read_headerless(write_shard(tmp_path / "a.bin", [1, 2]), "<u2")
