"""Checkpoints as the libraries that people train with write them."""

from __future__ import annotations

import json
import pickle
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from tests.extract.writers.hub import HubCache


@pytest.fixture(scope="session")
def llama() -> nn.Module:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)


@pytest.fixture
def save_bin(llama) -> Callable[..., Path]:
    """Write the model as `pytorch_model.bin`, whole or as two shards with an index."""

    def save(folder: Path, *, shards: int = 1) -> Path:
        llama.config.save_pretrained(folder)
        state = llama.state_dict()
        if shards == 1:
            torch.save(state, folder / "pytorch_model.bin")
            return folder
        names = [f"pytorch_model-{i + 1:05}-of-{shards:05}.bin" for i in range(shards)]
        placed = {key: names[i % shards] for i, key in enumerate(state)}
        for name in names:
            torch.save({key: state[key] for key in state if placed[key] == name}, folder / name)
        (folder / "pytorch_model.bin.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": placed})
        )
        return folder

    return save


class _Touch:
    """A pickled object whose reducer would create a file if it were executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (eval, (f"open({str(self.path)!r}, 'w').close()",))


@pytest.fixture
def bomb(tmp_path) -> tuple[object, Path]:
    """An object that would create the file when unpickled, and the file."""
    target = tmp_path / "executed"
    harmless_here = pickle.dumps(_Touch(target))
    assert b"eval" in harmless_here
    return _Touch(target), target


@pytest.fixture
def rewrite_pickle() -> Callable[[Path, bytes, bytes], None]:
    """Replace bytes inside the `data.pkl` of a file of `torch.save`."""

    def rewrite(path: Path, old: bytes, new: bytes) -> None:
        with zipfile.ZipFile(path) as archive:
            records = {record.filename: archive.read(record) for record in archive.infolist()}
        changed = 0
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, content in records.items():
                if name.endswith("data.pkl"):
                    changed = content.count(old)
                    content = content.replace(old, new)
                archive.writestr(name, content)
        assert changed > 0

    return rewrite


@pytest.fixture
def requests_made(monkeypatch) -> list[object]:
    """No network; what was asked of it all the same."""
    asked: list[object] = []

    def refuse(*arguments, **_):
        asked.append(arguments)
        raise OSError("no network in the tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.fixture
def hub_cache(tmp_path, monkeypatch, requests_made) -> HubCache:
    """An empty cache in a place of its own, with HF_HUB_OFFLINE set."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return HubCache(tmp_path / "hub")


@pytest.fixture
def online(monkeypatch) -> None:
    """Without HF_HUB_OFFLINE."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
