"""Settings of MPT that transformers' class passes over: they are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def passed_over(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What config.json asks for and transformers' class does not compute."""
    attention = config.get("attn_config") or {}
    return tuple(
        f"{name} = {stated[name]!r}"
        for stated, computed in ((config, _COMPUTED), (attention, _COMPUTED_ATTENTION))
        for name, values in computed.items()
        if name in stated and stated[name] not in values
    )
