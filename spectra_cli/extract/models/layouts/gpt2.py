"""GPT-2: one fused c_attn whose outputs are q, k, v in thirds; weights stored fan_in x fan_out (Conv1D)."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.fused import by_thirds, fused_qkv
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

GPT2 = HuggingFaceFamily(
    name="gpt2",
    summary="GPT-2 and its descendants in the same class",
    model_types=frozenset({"gpt2"}),
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    parts={
        **fused_qkv("attn.c_attn", by_thirds, transposed=True),
        "attn.o": Part(path="attn.c_proj", transposed=True),
        "mlp.up": Part(path="mlp.c_fc", transposed=True),
        "mlp.down": Part(path="mlp.c_proj", transposed=True),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
