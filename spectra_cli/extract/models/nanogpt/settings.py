"""Settings of the decoder that no tensor shows: as stated, over what the variant says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast, get_args

import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder.head import SoftCapKind
from spectra_cli.extract.models.decoder.masks import MASK_BLOCK, MaskRule
from spectra_cli.extract.models.decoder.rope import Direction, RopeKind
from spectra_cli.extract.models.nanogpt.arguments import Arguments, Stated, count, number, one_of, unstated
from spectra_cli.extract.models.nanogpt.variants import MaskKind, Variant
from spectra_cli.extract.models.nanogpt.windows import Window, window_at

GPT2_END_OF_TEXT = 50256

_POSITIONS: Mapping[str, RopeKind] = {"rope": "full", "rope_trunc": "truncated"}
_TABLE_DTYPES = {"bfloat16": torch.bfloat16, "activations": None}


def rope_settings(arguments: Arguments, where: str) -> tuple[RopeKind, Direction, torch.dtype | None]:
    """Kind, direction, and what the tables are rounded to."""
    pos = one_of(arguments, "pos", ("learned", *_POSITIONS), where)
    direction = one_of(arguments, "rope_dir", get_args(Direction), where)
    dtype = one_of(arguments, "rope_table_dtype", tuple(_TABLE_DTYPES), where)
    return _POSITIONS.get(str(pos), "full"), cast("Direction", direction), _TABLE_DTYPES[str(dtype)]


def soft_cap_settings(stated: Stated, variant: Variant, where: str) -> tuple[SoftCapKind, float]:
    """Kind and constant: `softcap` = "tanh 15", else `lm_head_softcap` where the trainer has it or the user
    says it, else the variant's.
    """
    kind, constant = _soft_cap(stated.values.get("softcap", variant.says["softcap"]), where)
    by_argument = variant.softcap_argument or "lm_head_softcap" in stated.by_user
    if "softcap" in stated.values or not by_argument:
        return kind, constant
    if kind == "none":
        raise ModelError(
            f"{where}: lm_head_softcap is stated, and {variant.name} has no soft cap; if it has one "
            'after all, say which with --set model.softcap="tanh 15"'
        )
    return kind, number(stated.values, "lm_head_softcap", constant, where)


def _soft_cap(said: object, where: str) -> tuple[SoftCapKind, float]:
    kind, _, constant_text = str(said).partition(" ")
    if kind == "none" and not constant_text:
        return "none", 0.0
    try:
        constant = float(constant_text)
    except ValueError:
        constant = math.nan
    if kind not in ("tanh", "sigmoid") or not math.isfinite(constant):
        raise ModelError(f"{where}: softcap is {said!r}; expected none, or as in `tanh 15`, `sigmoid 15`")
    return cast("SoftCapKind", kind), constant


def attention_scale(arguments: Arguments, where: str) -> float | None:
    """Factor of q k^T; None, or "default", for the inverse root of the head's width."""
    is_default = arguments.get("attn_scale") == "default"
    return None if is_default else number(arguments, "attn_scale", 0.0, where)


def attention_window(
    arguments: Arguments, variant: Variant, kind: MaskKind, *, step: int | None, where: str
) -> Window | None:
    """The window at the checkpoint's step: stated, else by the variant's schedule.

    Raises:
        ModelError: it has to be stated, or counts what this mask does not.
    """
    if kind == "causal":
        return None
    in_blocks = kind in ("doc_block", "doc_block_long_short")
    block = mask_block(arguments, kind, where)
    for name, stated_in_blocks in (("window_blocks", True), ("window_tokens", False)):
        size = count(arguments, name, where)
        if size is None:
            continue
        if in_blocks and not stated_in_blocks and size % block:
            raise ModelError(
                f"{where}: {name} is {size}, but windows are counted in blocks of {block} tokens"
            )
        size = size // block if in_blocks and not stated_in_blocks else size
        size = size * block if stated_in_blocks and not in_blocks else size
        return Window(size=size, in_blocks=in_blocks, source=f"{name} stated", is_stated=True)
    if variant.schedule is None or variant.schedule.in_blocks != in_blocks:
        raise unstated(f"{where}: mask {kind} needs a window that its variant does not give", "window_tokens")
    return window_at(variant.schedule, arguments, step=step, where=where)


def mask_rules(
    arguments: Arguments, kind: MaskKind, window: Window | None, *, vocab_size: int, where: str
) -> tuple[MaskRule | None, MaskRule | None]:
    """The rule of (long) layers, and that of short ones where there are such."""
    if window is None:
        return None, None
    block = mask_block(arguments, kind, where)
    eot = None if kind == "token" else _end_of_text(arguments, vocab_size, where)
    if kind in ("token", "doc_token"):
        return MaskRule(window_tokens=window.size, eot=eot), None
    if kind == "doc_token_block":
        blocks = math.ceil(window.size / block)
        return MaskRule(window_tokens=window.size, window_blocks=blocks, block=block, eot=eot), None
    long_rule = MaskRule(window_blocks=window.size, block=block, eot=eot)
    short_rule = MaskRule(window_blocks=max(1, window.size // 2), block=block, eot=eot)
    return long_rule, short_rule if kind == "doc_block_long_short" else None


def mask_block(arguments: Arguments, kind: MaskKind, where: str) -> int:
    """Tokens of a mask block; the trainers of block masks call it `block_size`, which is no context."""
    names = ("mask_block", "block_size") if kind.startswith("doc_block") else ("mask_block",)
    stated = (count(arguments, name, where) for name in names)
    return next((size for size in stated if size is not None), MASK_BLOCK)


def _end_of_text(arguments: Arguments, vocab_size: int, where: str) -> int | None:
    stated = arguments.get("eot")
    if stated == "none":
        return None
    if stated is None and vocab_size <= GPT2_END_OF_TEXT:
        raise unstated(
            f"{where}: its attention stays inside a document, and its vocabulary of {vocab_size} ids does "
            f"not hold the GPT-2 end of text {GPT2_END_OF_TEXT} that would separate documents; eot is an id, "
            "or none",
            "eot",
        )
    eot = GPT2_END_OF_TEXT if stated is None else stated
    if isinstance(eot, bool) or not isinstance(eot, int) or not 0 <= eot < vocab_size:
        raise ModelError(f"{where}: eot is {eot!r}; expected an id below {vocab_size}, or none")
    return eot
