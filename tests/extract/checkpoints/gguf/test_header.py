import struct

import numpy as np
import pytest
from gguf import GGUFEndian, GGUFReader, GGUFWriter

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.gguf.header import check_gguf_header


@pytest.fixture(params=[GGUFEndian.LITTLE, GGUFEndian.BIG], ids=["little", "big"])
def path(request, tmp_path):
    """Metadata of every kind, and two tensors."""
    path = tmp_path / "tiny.gguf"
    writer = GGUFWriter(path, "llama", endianess=request.param)
    writer.add_uint8("own.byte", 1)
    writer.add_bool("own.truth", True)
    writer.add_float64("own.number", 0.5)
    writer.add_array("own.numbers", [1, 2, 3])
    writer.add_token_list(["a", "bc", ""])
    writer.add_tensor("one", np.ones((3, 4), dtype=np.float32))
    writer.add_tensor("two", np.ones(5, dtype=np.float32))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    return path


def test_what_the_package_wrote_is_walked_to_the_end(path):
    assert check_gguf_header(path) == len(GGUFReader(path).tensors) == 2


def test_truncation_is_seen_at_every_length_of_the_head(path):
    content = path.read_bytes()
    for length in range(GGUFReader(path).tensors[0].field.offset):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"tiny\.gguf"):
            check_gguf_header(path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (struct.pack("<IIQ", 9, 4, 2**60), "1152921504606846976 numbers are claimed where"),
        (struct.pack("<IIQ", 9, 8, 2**60), "1152921504606846976 strings are claimed where"),
        (struct.pack("<IIQ", 9, 9, 1), "a value of type 9 has no fixed size"),
        (struct.pack("<IQ", 8, 2**60), "1152921504606846976 characters are claimed where"),
        (struct.pack("<I", 13), "a value of type 13 has no fixed size"),
    ],
)
def test_claims_of_metadata(tmp_path, kind, message):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + kind + bytes(64))
    with pytest.raises(CheckpointError, match=rf"tiny\.gguf: cannot be read as GGUF: {message}"):
        check_gguf_header(path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2**60,), r"bytes at least, of a tensor of shape \["),
        ((2**31, 2**31), r"bytes at least, of a tensor of shape \["),
        ((2**63,), r"no tensor has the shape \["),
        ((0, 2**62, 2**62), r"no tensor has the shape \["),
        ((1,) * 5, "a tensor of 5 dimensions"),
    ],
)
def test_claims_of_a_tensor(tmp_path, shape, message):
    path = tmp_path / "tiny.gguf"
    info = struct.pack(f"<Q1sI{len(shape)}QIQ", 1, b"t", len(shape), *shape, 0, 0)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + info)
    with pytest.raises(CheckpointError, match=rf"tiny\.gguf: .*{message}"):
        check_gguf_header(path)
