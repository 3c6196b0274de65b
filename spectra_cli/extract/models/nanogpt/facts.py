"""What a decoder's numbers depend on, fact by fact, each with what says so."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from spectra_cli.extract.models.decoder.config import DecoderConfig
from spectra_cli.extract.models.decoder.rope import ROPE_BASE, TRUNCATED_BASE
from spectra_cli.extract.models.nanogpt.arguments import SCHEDULE, Stated
from spectra_cli.extract.models.nanogpt.variants import MaskKind
from spectra_cli.extract.models.nanogpt.windows import Window
from spectra_cli.extract.protocols import Fact

_TENSORS = "its tensors"


def decoder_facts(
    config: DecoderConfig,
    stated: Stated,
    *,
    mask: MaskKind,
    window: Window | None,
    code: str,
    sources: Mapping[str, str],
) -> dict[str, Fact]:
    """Name as `--set` takes it -> fact, in the order of `decoder_arguments`.

    Args:
        config: the whole of it.
        mask, window: the rule of the mask in its own words, and the window at this step.
        code: what says so where nothing is stated: the code of the variant.
        sources: name -> what says so, of facts that were worked out elsewhere (heads, reach, variant).
    """
    learned, scale = config.num_positions is not None, config.attn_scale
    rope = {} if learned else _rope(config)
    values: dict[str, str] = {
        "n_head": str(config.n_head),
        "pos": "learned" if learned else "rope" if config.rope == "full" else "rope_trunc",
        **rope,
        "qk_norm": _flag(config.qk_norm),
        "embed_norm": _flag(config.embed_norm),
        "tied": _flag(config.tied),
        "norm_eps": f"{config.norm_eps:.6g}",
        **({"qk_norm_eps": f"{config.qk_norm_eps:.6g}"} if config.qk_norm else {}),
        "activation": config.activation,
        "attn_scale": f"{1 / math.sqrt(config.head_width) if scale is None else scale:.6g}",
        "mask": mask,
        **_window(config, window),
        "softcap": "none" if config.softcap == "none" else f"{config.softcap} {config.softcap_constant:g}",
        "head": config.head,
        **({"value_reach": str(config.value_reach)} if config.value_mix == "sparse" else {}),
    }
    shown = {"pos", "tied", "qk_norm", "embed_norm"} if learned else {"tied"}
    also = {"softcap": ("lm_head_softcap",), "window_tokens": SCHEDULE, "window_blocks": SCHEDULE}
    return {
        name: Fact(
            value=value,
            source=sources.get(name)
            or stated.source(name, *also.get(name, ()))
            or (_TENSORS if name in shown else code),
        )
        for name, value in values.items()
    }


def _rope(config: DecoderConfig) -> dict[str, str]:
    dtype = (
        "activations"
        if config.rope_table_dtype is None
        else str(config.rope_table_dtype).removeprefix("torch.")
    )
    return {
        "rope_dir": config.rope_dir,
        "rope_base": f"{ROPE_BASE if config.rope == 'full' else TRUNCATED_BASE:g}",
        "rope_table_dtype": dtype if config.rope == "full" else str(torch.float32).removeprefix("torch."),
    }


def _window(config: DecoderConfig, window: Window | None) -> dict[str, str]:
    if window is None or config.mask is None:
        return {}
    eot = {} if config.mask.eot is None else {"eot": str(config.mask.eot)}
    if not window.in_blocks:
        return {"window_tokens": str(window.size)} | eot
    return {"window_blocks": str(window.size), "mask_block": str(config.mask.block)} | eot


def _flag(value: bool) -> str:  # noqa: FBT001
    return "true" if value else "false"
