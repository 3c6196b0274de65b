"""Mixtures of experts with LLaMA's block: attention, then a router, shared experts and routed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from spectra_cli.extract.models.canonical import absent_components
from spectra_cli.extract.models.transformers.generic import linear_views
from spectra_cli.extract.models.transformers.layout import assemble
from spectra_cli.extract.models.transformers.loading import build_module
from spectra_cli.extract.models.transformers.mixture import mixture_views
from spectra_cli.extract.models.transformers.packed_experts import replace_experts
from spectra_cli.extract.protocols import CheckpointHeader, Model

_BLOCKS, _FINAL_NORM = "model.layers", "model.norm"
_ROUTED = "the MLP is a mixture of experts: its matrices are experts.0.gate and so on"
_LATENT = "attention through a latent vector: its maps keep their own names"


@dataclass(slots=True, kw_only=True)
class MixtureFamily:
    """Models of one layout, by their model types."""

    name: str
    summary: str
    model_types: frozenset[str]

    def recognises(self, header: CheckpointHeader) -> bool:
        """Whether config.json names one of the model types."""
        return header.named_as == "huggingface" and header.model_type in self.model_types

    def build(
        self, header: CheckpointHeader, state: Mapping[str, Tensor] | None, *, device: torch.device
    ) -> Model:
        """The model with the tensors of `state`, or a skeleton on the meta device.

        Raises:
            ModelError: tensors that do not fit, or a model that cannot be measured.
        """
        module, notices = build_module(header, state, device=device)
        replace_experts(module)
        blocks = tuple(module.get_submodule(_BLOCKS))
        views = []
        for layer, block in enumerate(blocks):
            path = f"{_BLOCKS}.{layer}"
            views += mixture_views(layer, block, path, linear_views(layer, block, path), module.config)
        reasons = {f"mlp.{part}": _ROUTED for part in ("gate", "up", "down")}
        reasons |= {f"attn.{part}": _LATENT for part in ("q", "k", "v")}
        return assemble(
            module,
            header=header,
            family=self.name,
            recognised=True,
            blocks=blocks,
            views=views,
            final_norm=module.get_submodule(_FINAL_NORM),
            absent=absent_components(
                views, num_blocks=len(blocks), reasons=reasons, otherwise="not in this layout"
            ),
            notices=notices,
        )


MIXTURE = MixtureFamily(
    name="moe",
    summary="Mixtral, Qwen2/3-MoE, OLMoE, FlexOlmo, gpt-oss, DeepSeek V2/V3, GLM-4 MoE, dots, ERNIE, Phi-MoE",
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
