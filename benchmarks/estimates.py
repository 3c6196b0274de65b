"""The time that `spectra inspect` expects against that of the scan, on models with seeded weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.workflows.estimates.scan_estimate import estimate
from spectra_cli.workflows.inspect import inspect
from spectra_cli.workflows.scan import scan


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateCase:
    """A model and what is measured on it.

    Attributes:
        family: `llama` or `gpt2`; sizes: of its configuration.
        settings: of the scan.
    """

    family: str
    sizes: Mapping[str, int]
    settings: ScanSettings


def _case(family: str, width: int, layers: int, vocabulary: int, **settings: Any) -> EstimateCase:
    sizes = {"width": width, "layers": layers, "vocabulary": vocabulary}
    counts = {"num_sequences": 64, "num_gradient_sequences": 32, "sequence_length": 256}
    return EstimateCase(family=family, sizes=sizes, settings=ScanSettings(**(counts | settings)))


_ALONE = ("weight",)
CASES: Mapping[str, EstimateCase] = {
    "Llama, d = 256": _case("llama", 256, 4, 1000),
    "GPT-2, d = 256": _case("gpt2", 256, 8, 5000),
    "Llama, d = 384": _case("llama", 384, 6, 32_000, sequence_length=512),
    "Llama, d = 576": _case("llama", 576, 8, 49_152, num_sequences=32, num_gradient_sequences=16),
    "GPT-2, d = 768": _case("gpt2", 768, 12, 50_257, num_sequences=32, num_gradient_sequences=16),
    "Llama, d = 384, weights alone": _case("llama", 384, 6, 32_000, measurements=_ALONE),
    "GPT-2, d = 768, weights alone": _case("gpt2", 768, 12, 50_257, measurements=_ALONE),
    "Llama, d = 256, activations alone": _case(
        "llama", 256, 4, 1000, measurements=("activation_covariance",)
    ),
}


def write_run(case: EstimateCase, folder: Path) -> None:
    """Two checkpoints of the case's model."""
    torch.manual_seed(0)
    module = _module(case)
    for step in (1, 2):
        module.save_pretrained(folder / f"checkpoint-{step}")
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.002 * torch.randn_like(parameter))


def _module(case: EstimateCase) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    width, layers, vocabulary = (case.sizes[name] for name in ("width", "layers", "vocabulary"))
    if case.family == "gpt2":
        config = GPT2Config(
            n_embd=width,
            n_layer=layers,
            n_head=width // 64,
            vocab_size=vocabulary,
            bos_token_id=0,
            eos_token_id=0,
        )
        return GPT2LMHeadModel(config)
    llama = LlamaConfig(
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        vocab_size=vocabulary,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(llama)


def estimated_and_actual(case: EstimateCase, folder: Path) -> tuple[float, float]:
    """Seconds of a checkpoint, as estimated and as its scan states: of the second, whose memory is warm."""
    expected = estimate(inspect(ScanRequest(checkpoints=folder, settings=case.settings)))
    assert expected is not None
    output = folder.with_suffix(".spectra.h5")
    request = ScanRequest(
        checkpoints=folder, settings=case.settings, probe="synthetic", output=output, overwrite=True
    )
    scan(request, lambda _: None)
    execution = next(iter(open_archive(output).checkpoints([-1]))).provenance.execution
    return expected.seconds, float(execution["seconds"])
