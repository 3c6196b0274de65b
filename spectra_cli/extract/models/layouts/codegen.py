"""CodeGen: qkv_proj in four groups, as it was trained on four cores; in each q, then v, then k."""

from __future__ import annotations

from typing import Any

from spectra_cli.extract.models.transformers.fused import FusedHeads, fused_qkv
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

_NUM_CORES = 4


def _heads(config: Any) -> FusedHeads:
    heads = config.num_attention_heads
    in_group = heads // _NUM_CORES
    return FusedHeads(
        width=config.hidden_size // heads, groups=_NUM_CORES, queries=in_group, keys=in_group, order="qvk"
    )


CODEGEN = HuggingFaceFamily(
    name="codegen",
    summary="CodeGen",
    model_types=frozenset({"codegen"}),
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    parts={
        **fused_qkv("attn.qkv_proj", _heads),
        "attn.o": Part(path="attn.out_proj"),
        "mlp.up": Part(path="mlp.fc_in"),
        "mlp.down": Part(path="mlp.fc_out"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
