"""BLOOM: ALiBi, a norm after the embedding, and GPT-NeoX's interleaved query_key_value."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.fused import by_head, fused_qkv
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

BLOOM = HuggingFaceFamily(
    name="bloom",
    summary="BLOOM and BLOOMZ",
    model_types=frozenset({"bloom"}),
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    parts={
        **fused_qkv("self_attention.query_key_value", by_head),
        "attn.o": Part(path="self_attention.dense"),
        "mlp.up": Part(path="mlp.dense_h_to_4h"),
        "mlp.down": Part(path="mlp.dense_4h_to_h"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
