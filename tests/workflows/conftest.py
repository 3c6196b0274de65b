"""Small runs of small models, and scans of them that take a fraction of a second."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import CheckpointSpectra
from spectra_cli.workflows.scan import ScanResult, scan

STEPS = (0, 10, 20)
VOCABULARY = 64
SETTINGS = ScanSettings(num_sequences=8, num_gradient_sequences=8, sequence_length=8, num_blocks=4)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    """Three checkpoints of one tiny Llama, each a little further from the first; a probe beside them."""
    folder = tmp_path_factory.mktemp("pristine")
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=32,
            tie_word_embeddings=False,
        )
    )
    for step in STEPS:
        model.save_pretrained(folder / "run" / f"checkpoint-{step}")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.25)
    np.save(folder / "probe.npy", np.random.default_rng(0).integers(0, VOCABULARY, 4096).astype(np.int32))
    return folder


@pytest.fixture(scope="session")
def whole(pristine, tmp_path_factory) -> Path:
    """The archive of an undisturbed scan; tests read it and leave it alone."""
    path = tmp_path_factory.mktemp("whole") / "run.spectra.h5"
    request = ScanRequest(
        checkpoints=str(pristine / "run"),
        settings=SETTINGS,
        probe=str(pristine / "probe.npy"),
        output=path,
    )
    scan(request, lambda _: None)
    return path


@pytest.fixture
def place(pristine, tmp_path, monkeypatch) -> Iterator[Path]:
    """A copy of the run and its probe to break, in the working directory."""
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def archive(place, whole) -> Path:
    """A finished archive of the run in the working directory."""
    return Path(shutil.copy2(whole, place / "run.spectra.h5"))


@pytest.fixture
def request_for(place) -> Callable[..., ScanRequest]:
    def make(**changes: Any) -> ScanRequest:
        fields = {"checkpoints": "run", "settings": SETTINGS, "probe": "probe.npy"}
        return ScanRequest(**(fields | changes))

    return make


@pytest.fixture
def scan_quietly(request_for) -> Callable[..., ScanResult]:
    def run(**changes: Any) -> ScanResult:
        return scan(request_for(**changes), lambda _: None)

    return run


def plain(checkpoint: CheckpointSpectra) -> dict[str, Any]:
    """Every measured number of a checkpoint as bytes: equal means bit for bit."""
    spectra = {
        f"{s.measurement} {s.site.address}": (
            s.kind,
            s.values.tobytes(),
            None if s.block_profile is None else s.block_profile.tobytes(),
            s.block_sizes,
            s.num_samples,
            s.ambient_dim,
            s.zero_threshold,
        )
        for s in checkpoint.spectra
    }
    scalars = {
        f"{s.measurement} {s.name} {s.site and s.site.address}": (s.value.hex(), s.delete_one_block.tobytes())
        for s in checkpoint.scalars
    }
    return {"key": checkpoint.ref.key, "info": checkpoint.info, "spectra": spectra, "scalars": scalars}


@pytest.fixture(scope="session")
def numbers_of() -> Callable[[CheckpointSpectra], dict[str, Any]]:
    return plain


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    """Damage a weight file as an interrupted copy does."""

    def cut(checkpoint: Path) -> None:
        file = checkpoint / "model.safetensors"
        os.truncate(file, file.stat().st_size // 2)

    return cut
