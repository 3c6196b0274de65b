"""Phi-3 and Phi-4: qkv_proj holds q, k and v one after the other, gate_up_proj the gate and then up."""

from __future__ import annotations

from typing import Any

from spectra_cli.extract.models.transformers.fused import FusedHeads, fused_gate_up, fused_qkv
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part


def _heads(config: Any) -> FusedHeads:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return FusedHeads(width=width, queries=heads, keys=config.num_key_value_heads)


PHI3 = HuggingFaceFamily(
    name="phi3",
    summary="Phi-3, Phi-3.5 and Phi-4 (dense)",
    model_types=frozenset({"phi3"}),
    blocks="model.layers",
    final_norm="model.norm",
    parts={
        **fused_qkv("self_attn.qkv_proj", _heads),
        "attn.o": Part(path="self_attn.o_proj"),
        **fused_gate_up("mlp.gate_up_proj"),
        "mlp.down": Part(path="mlp.down_proj"),
    },
)
