"""Falcon in its three layouts of query_key_value: multi-query, grouped (the new decoder), and by head."""

from __future__ import annotations

from typing import Any

from spectra_cli.extract.models.transformers.fused import FusedHeads, by_head, fused_qkv
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part


def _heads(config: Any) -> FusedHeads:
    """Falcon-40B and later: a group for every key head; 7B: one key head; the RW models: by head."""
    heads, width = config.num_attention_heads, config.head_dim
    if config.new_decoder_architecture:
        groups = config.num_kv_heads
        return FusedHeads(width=width, groups=groups, queries=heads // groups, keys=1)
    return FusedHeads(width=width, queries=heads, keys=1) if config.multi_query else by_head(config)


FALCON = HuggingFaceFamily(
    name="falcon",
    summary="Falcon 7B, 40B, 180B and RefinedWeb (RW)",
    model_types=frozenset({"falcon"}),
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    parts={
        **fused_qkv("self_attention.query_key_value", _heads),
        "attn.o": Part(path="self_attention.dense"),
        "mlp.up": Part(path="mlp.dense_h_to_4h"),
        "mlp.down": Part(path="mlp.dense_4h_to_h"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
