"""Phi-1 and Phi-2: attention and MLP in parallel from one norm, separate q, k, v, and no gate."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

PHI = HuggingFaceFamily(
    name="phi",
    summary="Phi-1, Phi-1.5 and Phi-2",
    model_types=frozenset({"phi"}),
    blocks="model.layers",
    final_norm="model.final_layernorm",
    parts={
        "attn.q": Part(path="self_attn.q_proj"),
        "attn.k": Part(path="self_attn.k_proj"),
        "attn.v": Part(path="self_attn.v_proj"),
        "attn.o": Part(path="self_attn.dense"),
        "mlp.up": Part(path="mlp.fc1"),
        "mlp.down": Part(path="mlp.fc2"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
