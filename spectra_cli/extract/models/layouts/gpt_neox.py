"""GPT-NeoX (Pythia): one fused query_key_value, interleaved by head: q, k, v of head 0, of head 1, ..."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.fused import by_head, fused_qkv
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

GPT_NEOX = HuggingFaceFamily(
    name="gpt_neox",
    summary="GPT-NeoX and Pythia",
    model_types=frozenset({"gpt_neox"}),
    blocks="gpt_neox.layers",
    final_norm="gpt_neox.final_layer_norm",
    parts={
        **fused_qkv("attention.query_key_value", by_head),
        "attn.o": Part(path="attention.dense"),
        "mlp.up": Part(path="mlp.dense_h_to_4h"),
        "mlp.down": Part(path="mlp.dense_4h_to_h"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
