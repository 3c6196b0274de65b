"""Attention under a mask rule by torch's flex attention, compiled: blocks that no query sees cost nothing.

It is used on CUDA, for what it is written for, and only after it gave on a short sequence what the masked
kernels give: a compiler that is missing or wrong costs time, never numbers.

Shapes: B sequences, T tokens, H heads, K width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from spectra_cli.extract.models.decoder_masks import Mask, MaskRule, attend_masked

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# narrower heads and shorter sequences gain nothing, and older kernels refuse them
_LEAST_WIDTH, _LEAST_LENGTH = 16, 256
_SAMPLE_LENGTH, _END = 384, 0
# of the largest entry; a wrong mask is wrong by far more
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def is_fit(like: Tensor, rule: MaskRule) -> bool:
    """Whether attention under this rule goes through flex attention.

    Args:
        like: queries (B, H, T, K), for their device, dtype and size.
    """
    if like.device.type != "cuda" or like.dtype not in _DTYPES:
        return False
    if like.shape[-1] < _LEAST_WIDTH or like.shape[-2] < _LEAST_LENGTH:
        return False
    short = replace(
        rule,
        window_tokens=None if rule.window_tokens is None else 150,
        window_blocks=None if rule.window_blocks is None else 2,
        eot=None if rule.eot is None else _END,
    )
    return agrees(short, device=like.device, dtype=like.dtype, width=like.shape[-1])


def mask_mod(rule: MaskRule, documents: Tensor | None, device: torch.device) -> MaskMod:
    """The rule as flex attention asks for it: whether key `j` is visible from query `t` of a sequence.

    Windows are tensors, so that one compiled kernel serves checkpoints with different ones.

    Args:
        rule: windows and blocks.
        documents: (B, T) number of each token's document; None where documents do not count.
    """
    tokens, blocks = (
        None if size is None else torch.tensor(size, device=device)
        for size in (rule.window_tokens, rule.window_blocks)
    )
    block = rule.block

    def visible(sequence: Tensor, _head: Tensor, t: Tensor, j: Tensor) -> Tensor:
        seen = j <= t
        if tokens is not None:
            seen = seen & (t - j < tokens)
        if blocks is not None:
            seen = seen & (t // block - j // block < blocks)
        if documents is not None:
            seen = seen & (documents[sequence, t] == documents[sequence, j])
        return seen

    return visible


def block_mask(rule: MaskRule, documents: Tensor | None, length: int, device: torch.device) -> BlockMask:
    """Which blocks of queries and keys a rule leaves, over sequences of `length` tokens."""
    make: Any = torch.compile(create_block_mask) if device.type == "cuda" else create_block_mask
    number = None if documents is None else documents.shape[0]
    found: BlockMask = make(mask_mod(rule, documents, device), number, None, length, length, device=device)
    return found


def attend_flex(q: Tensor, k: Tensor, v: Tensor, mask: BlockMask, *, scale: float | None) -> Tensor:
    """softmax(scale q k^T, masked) v: (B, H, T, K) each; compiled on CUDA, and there with gradients."""
    attention: Any = _compiled() if q.device.type == "cuda" else flex_attention
    out: Tensor = attention(q, k, v, block_mask=mask, scale=scale)
    return out


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention)


@cache
def agrees(rule: MaskRule, *, device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether flex attention gives, on a short sequence, the outputs and gradients of the masked kernels.

    Args:
        rule: one whose windows are shorter than 384 tokens; its documents begin with id 0.
        width: K.
    """
    generator = torch.Generator().manual_seed(0)
    size = (3, 1, 2, _SAMPLE_LENGTH, width)
    q, k, v = torch.randn(size, generator=generator).to(device=device, dtype=dtype).unbind()
    tokens = torch.arange(_SAMPLE_LENGTH, device=device)[None].remainder(100)
    mask = Mask(rule, tokens)
    try:
        found = _both(lambda q, k, v: attend_flex(q, k, v, mask.blocks(), scale=None), q, k, v)
    except Exception:  # compilers raise what they like; the masked kernels work everywhere
        return False
    wanted = _both(lambda q, k, v: attend_masked(q, k, v, mask, scale=None), q, k, v)
    return all(
        float((a - b).abs().max()) <= _TOLERANCE[dtype] * float(b.abs().max())
        for a, b in zip(found, wanted, strict=True)
    )


def _both(attention: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
    """Output, and what the inputs get for an output gradient of q."""
    inputs = [x.clone().requires_grad_() for x in (q, k, v)]
    with torch.enable_grad():
        out = attention(*inputs)
        return [out.detach(), *torch.autograd.grad(out, inputs, q)]
