"""GPT-NeoX (Pythia): one fused query_key_value, interleaved by head: q, k, v of head 0, of head 1, ..."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectra_cli.extract.models.layout import HuggingFaceFamily, Part


def _every_third_head(index: int) -> Part:
    def rows(config: Any) -> Tensor:
        head_width = config.hidden_size // config.num_attention_heads
        outputs = torch.arange(3 * config.hidden_size).view(config.num_attention_heads, 3, head_width)
        return outputs[:, index].flatten()

    return Part(path="attention.query_key_value", rows=rows)


GPT_NEOX = HuggingFaceFamily(
    name="gpt_neox",
    summary="GPT-NeoX and Pythia",
    model_types=frozenset({"gpt_neox"}),
    blocks="gpt_neox.layers",
    final_norm="gpt_neox.final_layer_norm",
    parts={
        "attn.q": _every_third_head(0),
        "attn.k": _every_third_head(1),
        "attn.v": _every_third_head(2),
        "attn.o": Part(path="attention.dense"),
        "mlp.up": Part(path="mlp.dense_h_to_4h"),
        "mlp.down": Part(path="mlp.dense_4h_to_h"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
