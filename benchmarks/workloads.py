"""The models and probes that the benchmarks run on: made in memory, seeded, the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from spectra_cli.core.settings import PAPER_MATRICES, ScanSettings
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.models.decoder.config import FLOAT32_EPS, DecoderConfig
from spectra_cli.extract.models.decoder.module import Decoder
from spectra_cli.extract.models.nanogpt.family import NANOGPT
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.probes.load import load_probe
from spectra_cli.extract.probes.source import ProbeRequest
from spectra_cli.extract.protocols import CheckpointHeader, Model, Probe, TensorHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One piece of work: a decoder's sizes and what is measured on it.

    Attributes:
        num_layers, width, num_heads, vocab_size: of the decoder (MLP four times the width).
        sequence_length: T.
        num_sequences: of the covariance probe; num_gradient_sequences: of the gradient probe.
        layers, matrices: as in `ScanSettings`.
    """

    name: str
    num_layers: int
    width: int
    num_heads: int
    vocab_size: int
    sequence_length: int
    num_sequences: int
    num_gradient_sequences: int
    layers: str
    matrices: tuple[str, ...] = PAPER_MATRICES

    def settings(self, *, dtype: str = "float32") -> ScanSettings:
        """Activations and gradients with block profiles, as a scan would measure them."""
        return ScanSettings(
            preset="benchmark",
            measurements=("activation_covariance", "gradient"),
            layers=self.layers,
            matrices=self.matrices,
            num_sequences=self.num_sequences,
            num_gradient_sequences=self.num_gradient_sequences,
            sequence_length=self.sequence_length,
            dtype=dtype,
        )


WORKLOADS = {
    work.name: work
    for work in (
        Workload(
            name="tiny",
            num_layers=3,
            width=32,
            num_heads=2,
            vocab_size=61,
            sequence_length=24,
            num_sequences=24,
            num_gradient_sequences=16,
            layers="all",
        ),
        Workload(
            name="small",
            num_layers=12,
            width=256,
            num_heads=4,
            vocab_size=1024,
            sequence_length=256,
            num_sequences=256,
            num_gradient_sequences=128,
            layers="five",
        ),
        Workload(
            name="large",
            num_layers=12,
            width=768,
            num_heads=6,
            vocab_size=50_304,
            sequence_length=512,
            num_sequences=64,
            num_gradient_sequences=32,
            layers="all",
        ),
    )
}


def shortened(work: Workload, *, sequences: int) -> Workload:
    """The same work on a fraction of the probe: for a first look on a busy machine."""
    return replace(
        work,
        num_sequences=sequences,
        num_gradient_sequences=max(2, sequences // 2),
        name=f"{work.name}-short",
    )


def build_model(work: Workload, *, seed: int = 0) -> Model:
    """The paper's untied decoder (variant 6) with seeded random weights, through the family's own door."""
    config = DecoderConfig(
        n_layer=work.num_layers,
        n_head=work.num_heads,
        n_embd=work.width,
        vocab_size=work.vocab_size,
        mlp_width=4 * work.width,
        num_positions=None,
        rope_dir="+",
        rope_table_dtype=None,
        fused_qkv=False,
        qk_norm=True,
        norm="rms",
        norm_bias=False,
        qkv_bias=False,
        attn_proj_bias=False,
        mlp_bias=False,
        activation="relu_squared",
        tied=False,
        embed_norm=True,
        norm_eps=FLOAT32_EPS,
        qk_norm_eps=FLOAT32_EPS,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = Decoder(config).state_dict()
    header = make_header(state, {"n_head": work.num_heads}, form="nanogpt")
    return NANOGPT.build(header, state, device=torch.device("cpu"))


def build_probe(model: Model, *, sequence_length: int, num_sequences: int) -> Probe:
    """Seeded tokens with Zipf-like frequencies, in memory."""
    request = ProbeRequest(
        source="synthetic", num_sequences=num_sequences, sequence_length=sequence_length, seed=0
    )
    return load_probe(request, vocab_size=model.vocab_size, checkpoint_folder=None)


def build(work: Workload) -> tuple[Model, Probe]:
    """Model and probe of a workload."""
    model = build_model(work)
    sequences = max(work.num_sequences, work.num_gradient_sequences)
    return model, build_probe(model, sequence_length=work.sequence_length, num_sequences=sequences)


def wrap_huggingface(module: Any) -> Model:
    """A Hugging Face module's tensors as a `Model`, through the family that reads such checkpoints."""
    state = module.state_dict()
    header = make_header(state, module.config.to_dict(), form="huggingface")
    return find_family(header).build(header, state, device=torch.device("cpu"))


def make_header(state: dict[str, torch.Tensor], config: dict[str, Any], *, form: str) -> CheckpointHeader:
    """What a checkpoint of these tensors would say about itself."""
    return CheckpointHeader(
        ref=CheckpointRef(run="benchmark", step=0, uri="memory", format=form),
        tensors={n: TensorHeader(shape=tuple(t.shape), dtype=t.dtype) for n, t in state.items()},
        config=config,
        fingerprint="",
        num_bytes=sum({t.data_ptr(): t.nbytes for t in state.values()}.values()),
    )
