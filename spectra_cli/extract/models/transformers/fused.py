"""Which outputs of a fused projection are q, which k, which v: one description for every layout in use.

A fused projection deals out its outputs by whole heads, in groups: `groups` times some query heads, some
key heads and as many value heads. GPT-2 has one group of all heads, GPT-NeoX a group for every head,
multi-query attention one key head, grouped-query attention a group for every key head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spectra_cli.extract.models.transformers.layout import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedHeads:
    """The outputs of a fused projection, from the first to the last.

    Attributes:
        width: outputs of one head.
        groups: how often the pattern below repeats.
        queries, keys: heads of each in a group; there are as many values as keys.
        order: of the three inside a group.

    >>> FusedHeads(width=2, groups=2, queries=1, keys=1).rows("k")
    tensor([2, 3, 8, 9])
    >>> FusedHeads(width=2, queries=3, keys=1).rows("v")
    slice(8, 10, None)
    """

    width: int
    queries: int
    keys: int
    groups: int = 1
    order: str = "qkv"

    def rows(self, letter: str) -> slice | Tensor:
        """The outputs of q, k or v: a slice where they are contiguous, else their indices."""
        heads = {"q": self.queries, "k": self.keys, "v": self.keys}
        start = self.width * sum(heads[before] for before in self.order[: self.order.index(letter)])
        stop = start + self.width * heads[letter]
        if self.groups == 1:
            return slice(start, stop)
        return (
            torch.arange(self.groups * self.width * sum(heads.values()))
            .view(self.groups, -1)[:, start:stop]
            .flatten()
        )


def fused_qkv(path: str, heads: Callable[[Any], FusedHeads], *, transposed: bool = False) -> dict[str, Part]:
    """`attn.q`, `attn.k`, `attn.v` of the module at `path`, dealt out as `heads` reads in the config."""

    def part(letter: str) -> Part:
        return Part(path=path, rows=lambda config: heads(config).rows(letter), transposed=transposed)

    return {f"attn.{letter}": part(letter) for letter in "qkv"}


def fused_gate_up(path: str) -> dict[str, Part]:
    """`mlp.gate` and `mlp.up` of the module at `path`: the first half of its outputs, and the second."""

    def half(index: int) -> Part:
        def rows(config: Any) -> slice:
            width = config.intermediate_size
            return slice(index * width, (index + 1) * width)

        return Part(path=path, rows=rows)

    return {"mlp.gate": half(0), "mlp.up": half(1)}


def by_thirds(config: Any) -> FusedHeads:
    """All of q, then all of k, then all of v, of the same size each."""
    heads = config.num_attention_heads
    return FusedHeads(width=config.hidden_size // heads, queries=heads, keys=heads)


def by_head(config: Any) -> FusedHeads:
    """q, k, v of the first head, then of the second, and so on."""
    heads = config.num_attention_heads
    return FusedHeads(width=config.hidden_size // heads, groups=heads, queries=1, keys=1)
