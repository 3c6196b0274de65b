"""OPT: learned positions, ReLU, and the MLP's two maps directly in the block."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

OPT = HuggingFaceFamily(
    name="opt",
    summary="OPT",
    model_types=frozenset({"opt"}),
    blocks="model.decoder.layers",
    final_norm="model.decoder.final_layer_norm",
    parts={
        "attn.q": Part(path="self_attn.q_proj"),
        "attn.k": Part(path="self_attn.k_proj"),
        "attn.v": Part(path="self_attn.v_proj"),
        "attn.o": Part(path="self_attn.out_proj"),
        "mlp.up": Part(path="fc1"),
        "mlp.down": Part(path="fc2"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
