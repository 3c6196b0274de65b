"""GPT-2: one fused c_attn whose outputs are q, k, v in thirds; weights stored fan_in x fan_out (Conv1D)."""

from __future__ import annotations

from typing import Any

from spectra_cli.extract.models.layout import HuggingFaceFamily, Part


def _third(index: int) -> Part:
    def rows(config: Any) -> slice:
        width = config.hidden_size
        return slice(index * width, (index + 1) * width)

    return Part(path="attn.c_attn", rows=rows, transposed=True)


GPT2 = HuggingFaceFamily(
    name="gpt2",
    summary="GPT-2 and its descendants in the same class",
    model_types=frozenset({"gpt2"}),
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    parts={
        "attn.q": _third(0),
        "attn.k": _third(1),
        "attn.v": _third(2),
        "attn.o": Part(path="attn.c_proj", transposed=True),
        "mlp.up": Part(path="mlp.c_fc", transposed=True),
        "mlp.down": Part(path="mlp.c_proj", transposed=True),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
