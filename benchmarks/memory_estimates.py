"""The memory that a plan states against the peak of the scan: each measurement in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_GRADIENTS = {"num_sequences": 64, "num_gradient_sequences": 64, "matrices": ("all",)}
_TOGETHER = {
    "num_sequences": 64,
    "num_gradient_sequences": 32,
    "matrices": ("all",),
    "measurements": ("activation_covariance", "gradient", "weight"),
}
# What is measured -> settings; `batch_size` and `threads` are not settings.
CELLS: Mapping[str, Mapping[str, Any]] = {
    "activations": {"num_sequences": 128, "measurements": ("activation_covariance",)},
    "gradients": _GRADIENTS | {"measurements": ("gradient",)},
    "gradients, 2 sequences a batch": _GRADIENTS | {"measurements": ("gradient",), "batch_size": 2},
    "together": _TOGETHER,
    "together, two threads": _TOGETHER | {"threads": 2},
    "together, float64": _TOGETHER | {"dtype": "float64"},
    "together, --vectors 64": _TOGETHER | {"num_vectors": 64},
    "weights alone": {"measurements": ("weight",), "matrices": ("all",)},
}
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "GPT-2, d = 64": ("GPT2", {"n_embd": 64, "n_head": 16, "n_layer": 4}),
    "Llama, d = 256": (
        "Llama",
        {
            "hidden_size": 256,
            "intermediate_size": 704,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
        },
    ),
    "BLOOM, d = 64": ("Bloom", {"hidden_size": 64, "n_head": 16, "n_layer": 4}),
    "MPT, d = 64": ("Mpt", {"d_model": 64, "n_heads": 16, "n_layers": 4}),
    "CodeGen, d = 64": (
        "CodeGen",
        {"n_embd": 64, "n_head": 16, "n_layer": 6, "n_positions": 512, "rotary_dim": 4},
    ),
    "Mamba, d = 128": ("Mamba", {"hidden_size": 128, "num_hidden_layers": 4, "state_size": 16}),
}
# A loop over tokens takes its time: shorter sequences.
_LENGTHS = {"Mamba, d = 128": 64}
_LENGTH = 256
_VOCABULARY = {"vocab_size": 1000, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def write_run(family: str, folder: Path) -> None:
    """Two checkpoints of a small model of the family, with seeded weights."""
    import transformers

    name, sizes = FAMILIES[family]
    ending = "ForCausalLM" if name != "GPT2" else "LMHeadModel"
    config = getattr(transformers, f"{name}Config")(**sizes, **_VOCABULARY)
    torch.manual_seed(0)
    module = getattr(transformers, name + ending)(config)
    for step in (1, 2):
        module.save_pretrained(folder / f"checkpoint-{step}")
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(1.1).add_(0.001 * torch.randn_like(parameter))


def estimate_and_peak(family: str, cell: str, folder: Path) -> dict[str, Any]:
    """A scan of both checkpoints in `folder`: bytes above those of the process, as planned and at most."""
    from benchmarks.memory import peak_of
    from spectra_cli.core.scan_request import ScanRequest
    from spectra_cli.core.settings import ScanSettings
    from spectra_cli.extract.series.opened import open_series
    from spectra_cli.extract.series.probe import read_probe
    from spectra_cli.extract.session import Session

    asked = {"sequence_length": _LENGTHS.get(family, _LENGTH), **CELLS[cell]}
    torch.set_num_threads(asked.pop("threads", 1))
    batch_size = asked.pop("batch_size", None)
    request = ScanRequest(
        checkpoints=folder,
        settings=ScanSettings(**asked),
        probe="synthetic",
        device="cpu",
        batch_size=batch_size,
    )
    series = open_series(str(folder))
    probe = read_probe(series, request).probe
    with Session(series, probe, request.settings, request) as session:

        def work() -> None:
            for ref in series.refs:
                session.measure(ref, lambda *_: None)

        parts = session.plan.memory_bytes
        estimated = sum(parts.values()) - parts["process"]
        report: dict[str, Any] = peak_of(work) | {"estimated_bytes": estimated}
        return report
