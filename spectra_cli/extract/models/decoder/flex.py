"""Attention under a mask rule by torch's flex attention, compiled: blocks that no query sees cost nothing.

It is used on CUDA, for what it is written for, and only after it gave for such queries under that mask what
the masked kernels give: a compiler that is missing or wrong costs time, never numbers.

Shapes: B sequences, T tokens, H heads, K width of a head.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from spectra_cli.extract.models.decoder.masks import Mask, MaskRule, attend_masked

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

# Of the largest entry. Half precision rounds inputs, weights and results, and sums in float32; float32 itself
# is left some more for its sums, but not what TF32 would take.
_TOLERANCE = {torch.float32: 3e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
# narrower heads and shorter sequences gain nothing, and older kernels refuse them
_LEAST_WIDTH, _LEAST_LENGTH = 16, 256
# Standard deviation of a query's scores: so sharp that one key too many changes some result wholly.
_SHARPNESS = 4.0
# a compiler's own errors are of the first kind; no compiler, no headers or no disk are of the others
_NO_COMPILER = (RuntimeError, ImportError, OSError, subprocess.SubprocessError)

_TRIED: dict[tuple[Any, ...], str | None] = {}


def objection(q: Tensor, mask: Mask, *, scale: float | None) -> str | None:
    """What speaks against flex attention for such queries; None where nothing does, empty where it is not
    written for them. Each shape is tried once.

    Args:
        q: queries (B, H, T, K), for their device, dtype and size.
    """
    if q.dtype not in _TOLERANCE or q.shape[-1] < _LEAST_WIDTH or q.shape[-2] < _LEAST_LENGTH:
        return ""
    kind = (mask.rule, tuple(q.shape), q.dtype, q.device, scale)
    if kind not in _TRIED:
        _TRIED[kind] = trial(q, mask, scale=scale)
    return _TRIED[kind]


def trial(like: Tensor, mask: Mask, *, scale: float | None) -> str | None:
    """Flex attention against the masked kernels, on random queries, keys and values of the same shape under
    the same mask.

    Returns:
        None if outputs and gradients agree; else by how much they do not, or why they cannot be had.
    """
    width = like.shape[-1]
    sharpness = _SHARPNESS / (math.sqrt(width) * (scale or width**-0.5))
    generator = torch.Generator(like.device).manual_seed(0)
    try:
        q, k, v, weights = torch.randn(
            (4, *like.shape), generator=generator, device=like.device, dtype=like.dtype
        )
        inputs = (sharpness * q, k, v)
        wanted = _with_gradients(lambda q, k, v: attend_masked(q, k, v, mask, scale=scale), inputs, weights)
        found = _with_gradients(
            lambda q, k, v: attend_flex(q, k, v, blocks_of(mask), scale=scale), inputs, weights
        )
    except _NO_COMPILER as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
    for name, one in wanted.items():
        difference = float((found[name] - one).abs().max()) / float(one.abs().max())
        if not difference <= _TOLERANCE[like.dtype]:
            return (
                f"its {name} differs from the masked kernels' by {difference:.1e} of the largest at shape "
                f"{tuple(like.shape)}, where {_TOLERANCE[like.dtype]:.0e} is allowed"
            )
    return None


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


def blocks_of(mask: Mask) -> BlockMask:
    """Which blocks a mask leaves; made once a mask."""
    if mask.block_mask is None:
        mask.block_mask = block_mask(mask.rule, mask.documents, mask.length, mask.device)
    return mask.block_mask


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


def _with_gradients(
    attention: Callable[..., Tensor], inputs: tuple[Tensor, ...], weights: Tensor
) -> dict[str, Tensor]:
    """The output, and what the inputs get for an output gradient of `weights`."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        out = attention(*leaves)
        gradients = torch.autograd.grad(out, leaves, weights)
    names = ("gradient of queries", "gradient of keys", "gradient of values")
    return {"output": out.detach()} | dict(zip(names, gradients, strict=True))
