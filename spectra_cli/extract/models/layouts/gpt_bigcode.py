"""GPT-BigCode (StarCoder, SantaCoder): c_attn with one key head, or by head without multi-query."""

from __future__ import annotations

from typing import Any

from spectra_cli.extract.models.transformers.fused import FusedHeads, by_head, fused_qkv
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part


def _heads(config: Any) -> FusedHeads:
    heads = config.num_attention_heads
    if not config.multi_query:
        return by_head(config)
    return FusedHeads(width=config.hidden_size // heads, queries=heads, keys=1)


GPT_BIGCODE = HuggingFaceFamily(
    name="gpt_bigcode",
    summary="GPT-BigCode: StarCoder and SantaCoder",
    model_types=frozenset({"gpt_bigcode"}),
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    parts={
        **fused_qkv("attn.c_attn", _heads),
        "attn.o": Part(path="attn.c_proj"),
        "mlp.up": Part(path="mlp.c_fc"),
        "mlp.down": Part(path="mlp.c_proj"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
