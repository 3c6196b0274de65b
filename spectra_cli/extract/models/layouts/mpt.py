"""MPT: Wqkv in thirds and ALiBi; settings that transformers' class passes over are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_cli.extract.models.transformers.fused import by_thirds, fused_qkv
from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

# setting -> what transformers' class computes, whatever config.json says
_COMPUTED = {"logit_scale": (None,), "norm_type": ("low_precision_layernorm", "layernorm")}
_COMPUTED_ATTENTION = {
    "alibi": (True,),
    "alibi_bias_max": (8,),
    "attn_type": ("multihead_attention",),
    "prefix_lm": (False,),
    "qk_ln": (False,),
    "rope": (False,),
    "sliding_window_size": (-1,),
}


def _unsupported(config: Mapping[str, Any]) -> tuple[str, ...]:
    attention = config.get("attn_config") or {}
    return tuple(
        f"{name} = {stated[name]!r}"
        for stated, computed in ((config, _COMPUTED), (attention, _COMPUTED_ATTENTION))
        for name, values in computed.items()
        if name in stated and stated[name] not in values
    )


MPT = HuggingFaceFamily(
    name="mpt",
    summary="MPT",
    model_types=frozenset({"mpt"}),
    blocks="transformer.blocks",
    final_norm="transformer.norm_f",
    parts={
        **fused_qkv("attn.Wqkv", by_thirds),
        "attn.o": Part(path="attn.out_proj"),
        "mlp.up": Part(path="ffn.up_proj"),
        "mlp.down": Part(path="ffn.down_proj"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
    unsupported=_unsupported,
)
