"""Float64 Gram matrices, upper tiles only."""

from __future__ import annotations

import torch
from torch import Tensor

TILE = 64


def add_gram_(total: Tensor, rows: Tensor) -> None:
    """Add `rows @ rows.T` to the upper tiles of `total`, in place.

    The product of a matrix with its own transpose is symmetric: tiles below the diagonal are left
    alone (up to half the work) until `mirror_upper_`. In torch, though numpy's own product is faster
    by itself: between torch operations its threads wait for cores that torch's still hold, and
    measured three times as long.

    Args:
        total: (n, n) float64.
        rows: (n, k) float64.
    """
    n = total.shape[0]
    for start in range(0, n, TILE):
        stop = min(start + TILE, n)
        total[start:stop, start:].addmm_(rows[start:stop], rows[start:].T)


def mirror_upper_(total: Tensor) -> Tensor:
    """Copy the upper triangle onto the lower one, in place; returns `total`."""
    upper = torch.triu(total)
    return total.copy_(upper).add_(torch.triu(total, 1).T)
