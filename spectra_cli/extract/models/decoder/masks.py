"""Which earlier tokens a query sees, and attention under such a rule without a T x T mask.

Shapes: B sequences, T tokens, H heads, K width of a head; a piece has Q queries and S keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

MASK_BLOCK = 128

Piece = tuple[slice, slice, Tensor]

# Queries of one piece. A piece looks at Q + window keys: fewer queries waste less on keys that most of
# them do not see, more make fewer, larger products.
_NUM_QUERIES = 512
# fused kernels want the number of keys in multiples of this, or copy the mask
_ALIGNMENT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRule:
    """Key j is visible from query t iff j <= t and every condition that is not None holds.

    Attributes:
        window_tokens: t - j < window_tokens.
        window_blocks: t // block - j // block < window_blocks.
        block: tokens of a block.
        eot: no token of this id stands in (j, t]: both lie in one document, which its end-of-text
            token opens.
    """

    window_tokens: int | None = None
    window_blocks: int | None = None
    block: int = MASK_BLOCK
    eot: int | None = None

    def first_key(self, query: int) -> int:
        """The earliest key that the windows show to a query; later queries see no earlier one."""
        first = 0
        if self.window_tokens is not None:
            first = query - self.window_tokens + 1
        if self.window_blocks is not None:
            first = max(first, (query // self.block - self.window_blocks + 1) * self.block)
        return max(first, 0)

    def visible(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(Q,) and (S,) positions -> (Q, S), documents aside."""
        t, j = queries[:, None], keys[None, :]
        seen = j <= t
        if self.window_tokens is not None:
            seen &= t - j < self.window_tokens
        if self.window_blocks is not None:
            seen &= t // self.block - j // self.block < self.window_blocks
        return seen


def mask_bytes(rule: MaskRule, length: int, width: int) -> tuple[int, int]:
    """Memory of a rule's masks: for a whole batch, and for each of its sequences.

    Args:
        length: T; width: bytes of a value.
    """
    pairs = sum(
        (queries.stop - queries.start) * (keys.stop - keys.start) for queries, keys in _spans(rule, length)
    )
    # documents differ from sequence to sequence, windows do not
    return (pairs * width, 0) if rule.eot is None else (0, pairs * width)


def _spans(rule: MaskRule, length: int) -> list[tuple[slice, slice]]:
    """Queries of each piece, and the keys that any of them sees, documents aside."""
    spans = []
    for start in range(0, length, _NUM_QUERIES):
        stop = min(start + _NUM_QUERIES, length)
        spans.append((slice(start, stop), slice(rule.first_key(start) // _ALIGNMENT * _ALIGNMENT, stop)))
    return spans


class Mask:
    """A rule applied to the tokens of one batch; made once, used by every layer.

    Args:
        rule: which keys are seen.
        tokens: (B, T); documents are counted over them.
        kernels: where to note what computed the attention, and what spoke against flex attention.
    """

    def __init__(self, rule: MaskRule, tokens: Tensor, *, kernels: dict[str, str] | None = None) -> None:
        self.rule = rule
        self.kernels = {} if kernels is None else kernels
        self.documents = None if rule.eot is None else (tokens == rule.eot).cumsum(1, dtype=torch.int32)
        self.length = tokens.shape[1]
        self.device = tokens.device
        self._pieces: dict[torch.dtype, list[Piece]] = {}
        # for flex attention, once it was made (decoder_flex.blocks_of)
        self.block_mask: BlockMask | None = None

    def pieces(self, dtype: torch.dtype) -> list[Piece]:
        """Queries, the keys that any of them sees, and 0 or -inf for each pair: (B or 1, 1, Q, S)."""
        if dtype not in self._pieces:
            self._pieces[dtype] = [
                self._piece(queries, keys, dtype) for queries, keys in _spans(self.rule, self.length)
            ]
        return self._pieces[dtype]

    def _piece(self, queries: slice, keys: slice, dtype: torch.dtype) -> Piece:
        positions = torch.arange(queries.stop, device=self.device, dtype=torch.int32)
        seen = self.rule.visible(positions[queries], positions[keys])[None]
        if self.documents is not None:
            seen = seen & (self.documents[:, queries, None] == self.documents[:, None, keys])
        hidden = torch.zeros(seen.shape, dtype=dtype, device=self.device).masked_fill(~seen, float("-inf"))
        return queries, keys, hidden.unsqueeze(1)


def attend_masked(q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, scale: float | None) -> Tensor:
    """softmax(scale q k^T + mask) v, (B, H, T, K) each, under masks of a few queries each; on any device."""
    pieces = mask.pieces(v.dtype)
    if len(pieces) > 1:
        out: Tensor = _InPieces.apply(q, k, v, pieces, scale)  # type: ignore[no-untyped-call]
        return out
    ((_, _, hidden),) = pieces
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=hidden, scale=scale)


class _InPieces(torch.autograd.Function):
    """Attention piece by piece; backward works each piece out again.

    Autograd's own backward of a slice fills a tensor of the whole length, for every piece: in time
    quadratic in T again.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, pieces: list[Piece], scale: float | None
    ) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.pieces, ctx.scale = pieces, scale
        out = torch.empty_like(q)
        for queries, keys, hidden in pieces:
            out[:, :, queries] = functional.scaled_dot_product_attention(
                q[:, :, queries], k[:, :, keys], v[:, :, keys], attn_mask=hidden, scale=scale
            )
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        # keys collect from several pieces: in float32, so that bfloat16 rounds them once
        sums = [torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32)) for x in inputs]
        for queries, keys, hidden in ctx.pieces:
            spans = (queries, keys, keys)
            parts = [x[:, :, s].detach().requires_grad_() for x, s in zip(inputs, spans, strict=True)]
            own_q, own_k, own_v = parts
            with torch.enable_grad():
                y = functional.scaled_dot_product_attention(
                    own_q, own_k, own_v, attn_mask=hidden, scale=ctx.scale
                )
            found = torch.autograd.grad(y, parts, gradients[0][:, :, queries])
            for total, span, part in zip(sums, spans, found, strict=True):
                total[:, :, span] += part
        return (*(total.to(x.dtype) for total, x in zip(sums, inputs, strict=True)), None, None)
