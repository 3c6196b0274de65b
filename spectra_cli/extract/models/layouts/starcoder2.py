"""StarCoder 2: grouped queries, a sliding window, and an MLP without gate."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

STARCODER2 = HuggingFaceFamily(
    name="starcoder2",
    summary="StarCoder 2",
    model_types=frozenset({"starcoder2"}),
    blocks="model.layers",
    final_norm="model.norm",
    parts={
        "attn.q": Part(path="self_attn.q_proj"),
        "attn.k": Part(path="self_attn.k_proj"),
        "attn.v": Part(path="self_attn.v_proj"),
        "attn.o": Part(path="self_attn.o_proj"),
        "mlp.up": Part(path="mlp.c_fc"),
        "mlp.down": Part(path="mlp.c_proj"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
