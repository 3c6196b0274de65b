"""GPT-Neo: global and local attention by turns, separate q, k, v."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

GPT_NEO = HuggingFaceFamily(
    name="gpt_neo",
    summary="GPT-Neo",
    model_types=frozenset({"gpt_neo"}),
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    parts={
        "attn.q": Part(path="attn.attention.q_proj"),
        "attn.k": Part(path="attn.attention.k_proj"),
        "attn.v": Part(path="attn.attention.v_proj"),
        "attn.o": Part(path="attn.attention.out_proj"),
        "mlp.up": Part(path="mlp.c_fc"),
        "mlp.down": Part(path="mlp.c_proj"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
