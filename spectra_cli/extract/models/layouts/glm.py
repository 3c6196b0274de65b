"""GLM-4: separate q, k, v, and gate_up_proj that holds the gate and then up."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.fused import fused_gate_up
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

GLM = HuggingFaceFamily(
    name="glm",
    summary="GLM-4 (dense)",
    model_types=frozenset({"glm", "glm4"}),
    blocks="model.layers",
    final_norm="model.norm",
    parts={
        "attn.q": Part(path="self_attn.q_proj"),
        "attn.k": Part(path="self_attn.k_proj"),
        "attn.v": Part(path="self_attn.v_proj"),
        "attn.o": Part(path="self_attn.o_proj"),
        **fused_gate_up("mlp.gate_up_proj"),
        "mlp.down": Part(path="mlp.down_proj"),
    },
)
