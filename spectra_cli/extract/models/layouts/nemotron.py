"""LLaMA's names with an MLP that has no gate: Nemotron, Arcee, Apertus."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

NEMOTRON = HuggingFaceFamily(
    name="nemotron",
    summary="Nemotron, Arcee (AFM), Apertus",
    model_types=frozenset({"apertus", "arcee", "nemotron"}),
    blocks="model.layers",
    final_norm="model.norm",
    parts={
        "attn.q": Part(path="self_attn.q_proj"),
        "attn.k": Part(path="self_attn.k_proj"),
        "attn.v": Part(path="self_attn.v_proj"),
        "attn.o": Part(path="self_attn.o_proj"),
        "mlp.up": Part(path="mlp.up_proj"),
        "mlp.down": Part(path="mlp.down_proj"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
