import hashlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract import digest as digest_module
from spectra_cli.extract.digest import state_digest


def _slow_digest(state):
    """The definition, one tensor at a time."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        content = bytes(tensor.clone().contiguous().view(-1).view(torch.uint8).tolist())
        line = f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0{hashlib.sha256(content).hexdigest()}\n"
        total.update(line.encode())
    return total.hexdigest()


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(7, 5, generator=generator)
    return {
        "a": matrix,
        "transposed": matrix.T,
        "half": matrix.to(torch.bfloat16),
        "fp8": matrix.to(torch.float8_e4m3fn),
        "flags": matrix > 0,
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 4),
    }


@pytest.mark.parametrize("chunk_bytes", [1, 50, 1 << 26])
def test_digest_is_its_definition_whatever_the_chunks(state, monkeypatch, chunk_bytes):
    monkeypatch.setattr(digest_module, "_CHUNK_BYTES", chunk_bytes)
    assert state_digest(state) == _slow_digest(state)


def test_digest_is_that_of_the_content_not_of_the_file_format(state, tmp_path):
    dense = {name: tensor.contiguous() for name, tensor in state.items()}
    torch.save(dense, tmp_path / "w.bin")
    save_file({name: tensor.clone() for name, tensor in dense.items()}, tmp_path / "w.safetensors")
    pickled = torch.load(tmp_path / "w.bin", mmap=True, weights_only=True)
    assert state_digest(pickled) == state_digest(load_file(tmp_path / "w.safetensors")) == state_digest(dense)


def test_tied_tensors_are_hashed_once_and_count_as_copies(monkeypatch):
    tied = torch.arange(6.0)
    calls = []
    original = digest_module._content_digest
    monkeypatch.setattr(digest_module, "_content_digest", lambda t: calls.append(t) or original(t))
    digest = state_digest({"embed": tied, "head": tied})
    assert len(calls) == 1
    assert digest == state_digest({"embed": tied, "head": tied.clone()})


def test_digest_sees_name_shape_dtype_and_value():
    ones = torch.ones(4)
    changed = torch.tensor([1.0, 1.0, 1.0, 1.0000001])
    variants = [
        {"w": ones},
        {"v": ones},
        {"w": ones.view(2, 2)},
        {"w": ones.view(torch.int32)},
        {"w": changed},
    ]
    assert len({state_digest(variant) for variant in variants}) == len(variants)


def test_tensors_without_content_are_refused():
    with pytest.raises(CheckpointError, match=r"w: a torch.strided tensor .* on meta"):
        state_digest({"w": torch.empty(2, device="meta")})
