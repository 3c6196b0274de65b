"""What a layer's values are mixed with: block 0's values, or a table looked up by token.

Shapes: B sequences, T tokens, D width, L layers, E = L // 2 encoder layers, H heads, K width of a head.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

ValueMix = Literal["none", "first_v", "vte_full", "vte_mirror", "sparse"]

NUM_SPARSE_TABLES = 3


class SparseValueEmbeddings(nn.Module):
    """Three tables of the model's width, shared by the first and the last layers."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.emb = nn.ModuleList(nn.Embedding(vocab_size, width) for _ in range(NUM_SPARSE_TABLES))

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """(B, T) ids -> three times (B, T, D)."""
        return tuple(table(tokens) for table in self.emb)


def num_value_slices(mix: ValueMix, num_layers: int) -> int:
    """Widths D in one row of the table `vte`; 0 where there is none.

    >>> num_value_slices("vte_mirror", 12)
    6
    """
    return {"vte_full": num_layers, "vte_mirror": num_layers // 2}.get(mix, 0)


def default_reach(num_layers: int) -> int:
    """How many layers at each end get a sparse value embedding, unless the run said otherwise.

    >>> [default_reach(layers) for layers in (12, 24, 36, 48)]
    [3, 6, 9, 12]
    """
    return min(max(round(0.25 * num_layers), 3), num_layers // 2)


def value_partner(mix: ValueMix, layer: int, *, num_layers: int, reach: int) -> int | None:
    """Which slice of `vte`, or which sparse table, a layer mixes in; None for none.

    >>> [value_partner("vte_mirror", layer, num_layers=6, reach=0) for layer in range(6)]
    [0, 1, 2, 2, 1, 0]
    >>> [value_partner("sparse", layer, num_layers=12, reach=3) for layer in (2, 3, 8, 9)]
    [2, None, None, 0]
    """
    if mix == "vte_full":
        return layer
    if mix == "vte_mirror":
        encoder = num_layers // 2
        return layer if layer < encoder else 2 * encoder - 1 - layer
    if mix == "sparse":
        if layer < reach:
            return layer % NUM_SPARSE_TABLES
        if layer >= num_layers - reach:
            return (layer - num_layers + reach) % NUM_SPARSE_TABLES
    return None


def blend(v: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """(1 - share) v + share partner, in the dtype of v: (B, H, T, K)."""
    return ((1 - share) * v + share * partner).to(v.dtype)


def weigh(v: Tensor, partner: Tensor | None, shares: Tensor) -> Tensor:
    """shares[0] v + shares[1] partner; v is weighed also where there is no partner."""
    weighed = shares[0] * v
    return weighed if partner is None else weighed + shares[1] * partner.to(v.dtype)
