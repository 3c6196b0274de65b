"""Rotary embeddings of the decoder: half-split pairs, two directions, and the truncated form.

Shapes: T tokens, K width of a head; q and k are (B, H, T, K). Positions run through a whole stream and
do not restart with a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ROPE_BASE = 10000.0
TRUNCATED_BASE = 1024.0

RopeKind = Literal["full", "truncated"]
Direction = Literal["+", "-"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeTables:
    """Cosine and sine of t * w_j, (T, K/2) each.

    Attributes:
        wide: rotate in the tables' own dtype, instead of rounding them to that of q and k.
    """

    cos: Tensor
    sin: Tensor
    wide: bool


def rope_tables(
    kind: RopeKind, *, num_positions: int, head_width: int, like: Tensor, rounded_to: torch.dtype | None
) -> RopeTables:
    """The tables for positions 0 to T - 1.

    full: w_j = 10000^(-2j/K). truncated: w_j = 1024^(-j/(n-1)) for j < n = K/4, the other pairs rest.

    Args:
        like: a tensor of the dtype and device of the residual stream.
        rounded_to: dtype that the finished tables are rounded to; None for no rounding.
    """
    # float32 as in training, but never coarser than a float64 model
    dtype = torch.promote_types(like.dtype, torch.float32)
    half = head_width // 2
    if kind == "truncated":
        turning = TRUNCATED_BASE ** -torch.linspace(0, 1, half // 2, device=like.device, dtype=dtype)
        frequencies = torch.cat((turning, turning.new_zeros(half - half // 2)))
    else:
        frequencies = ROPE_BASE ** (-torch.arange(half, device=like.device, dtype=dtype) / half)
    angles = torch.outer(torch.arange(num_positions, device=like.device, dtype=dtype), frequencies)
    rounded = rounded_to or dtype
    return RopeTables(cos=angles.cos().to(rounded), sin=angles.sin().to(rounded), wide=kind == "truncated")


def rotate(x: Tensor, tables: RopeTables, *, direction: Direction) -> Tensor:
    """Pairs (j, j + K/2) turned: (a cos - b sin, a sin + b cos), or the inverse turn for "-"."""
    dtype = torch.promote_types(x.dtype, tables.cos.dtype) if tables.wide else x.dtype
    cos, sin = tables.cos.to(dtype), tables.sin.to(dtype)
    if direction == "-":
        sin = -sin
    a, b = x.to(dtype).chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)
