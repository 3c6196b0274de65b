"""Mixtures of experts with LLaMA's block: attention, then a router, shared experts and routed ones."""

from __future__ import annotations

from typing import Any

from spectra_cli.extract.models.canonical import absent_components
from spectra_cli.extract.models.transformers.generic import linear_views
from spectra_cli.extract.models.transformers.layout import Sites, TransformersFamily
from spectra_cli.extract.models.transformers.mixture import mixture_views, replace_experts

_BLOCKS, _FINAL_NORM = "model.layers", "model.norm"
_ROUTED = "the MLP is a mixture of experts: its matrices are experts.0.gate and so on"
_LATENT = "attention through a latent vector: its maps keep their own names"


def _find(module: Any) -> Sites:
    replace_experts(module)
    blocks = tuple(module.get_submodule(_BLOCKS))
    views = []
    for layer, block in enumerate(blocks):
        path = f"{_BLOCKS}.{layer}"
        views += mixture_views(layer, block, path, linear_views(layer, block, path), module.config)
    reasons = {f"mlp.{part}": _ROUTED for part in ("gate", "up", "down")}
    reasons |= {f"attn.{part}": _LATENT for part in ("q", "k", "v")}
    absent = absent_components(views, num_blocks=len(blocks), reasons=reasons, otherwise="not in this layout")
    return Sites(blocks=blocks, views=views, final_norm=module.get_submodule(_FINAL_NORM), absent=absent)


MIXTURE = TransformersFamily(
    name="moe",
    summary="Mixtral, Qwen2/3-MoE, OLMoE, FlexOlmo, gpt-oss, DeepSeek V2/V3, GLM-4 MoE, dots, ERNIE, Phi-MoE",
    find=_find,
    model_types=frozenset(
        (
            "mixtral",
            "qwen2_moe",
            "qwen3_moe",
            "olmoe",
            "flex_olmo",
            "gpt_oss",
            "deepseek_v2",
            "deepseek_v3",
            "glm4_moe",
            "dots1",
            "ernie4_5_moe",
            "minimax_m2",
            "phimoe",
        )
    ),
)
