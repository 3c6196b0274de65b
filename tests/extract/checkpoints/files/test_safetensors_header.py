import json

import pytest
import torch
from safetensors.torch import save_file

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.safetensors_header import read_safetensors_header
from spectra_cli.extract.protocols import TensorHeader

DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32),
    *(torch.uint64, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64),
]


def _file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_header_is_what_the_library_wrote(tmp_path):
    state = {str(dtype): torch.ones(2, 3).to(dtype) for dtype in DTYPES}
    state |= {"scalar": torch.tensor(1.0), "empty": torch.empty(0, 3)}
    save_file(state, tmp_path / "m.safetensors", metadata={"format": "pt"})
    assert read_safetensors_header(tmp_path / "m.safetensors") == {
        name: TensorHeader(shape=tuple(tensor.shape), dtype=tensor.dtype) for name, tensor in state.items()
    }


def test_truncation_is_seen_at_every_length(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.ones(4, 4), "b": torch.ones(4)}, path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"m\.safetensors"):
            read_safetensors_header(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}}, "needs 8 bytes"),
        ({"w": {"dtype": "F32", "shape": [200], "data_offsets": [0, 800]}}, "of 8; copy"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "4 bytes of tensors claimed, 8"),
        ({"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, "malformed"),
        ({"w": {"dtype": "F32", "data_offsets": [0, 8]}}, "malformed"),
        ({"w": [1]}, "malformed"),
        ({"w": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}, "malformed"),
        ({"w": {"dtype": "F32", "shape": [2] + [1] * 64, "data_offsets": [0, 8]}}, "malformed"),
        ({"w": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}, "malformed"),
        ({"w": {"dtype": "F32", "shape": [2, True], "data_offsets": [0, 8]}}, "malformed"),
        ({"w": {"dtype": "F32", "shape": [2**63], "data_offsets": [0, 8]}}, "malformed"),
        ({"w": {"dtype": "F3", "shape": [2], "data_offsets": [0, 8]}}, "dtype 'F3'"),
        ([1], "not a JSON object"),
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_malformed_headers(tmp_path, header, message):
    with pytest.raises(CheckpointError, match=message):
        read_safetensors_header(_file(tmp_path / "m.safetensors", header, bytes(8)))


def test_a_file_of_eight_gigabytes(tmp_path):
    """Sparse: nothing of it is written or read."""
    sizes = {name: {"dtype": "U8", "shape": [2**32]} for name in ("a", "b")}
    sizes["a"]["data_offsets"], sizes["b"]["data_offsets"] = [0, 2**32], [2**32, 2**33]
    path = _file(tmp_path / "m.safetensors", sizes)
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + 2**33)
    assert read_safetensors_header(path)["b"].shape == (2**32,)


def test_header_longer_than_the_file(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="claimed in a file of 10"):
        read_safetensors_header(path)
