"""Float64 Gram matrices, upper tiles only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_TILE = 256


def add_gram_(total: Tensor, rows: Tensor) -> None:
    """Add `rows @ rows.T` to the upper tiles of `total`, in place.

    The product of a matrix with its own transpose is symmetric: tiles below the diagonal need not be
    right (up to half the work) until `mirror_upper_`.

    Args:
        total: (n, n) float64.
        rows: (n, k) float64, or float32 where the data hold no more: then each product is float32
            and only the sum over calls is float64.
    """
    if rows.device.type == "cpu" and rows.dtype == total.dtype:
        # numpy sees that this is a matrix with its own transpose, and computes one half of it
        total += torch.from_numpy(np.asarray(rows) @ np.asarray(rows).T)
        return
    n = total.shape[0]
    for start in range(0, n, _TILE):
        stop = min(start + _TILE, n)
        if rows.dtype == total.dtype:
            total[start:stop, start:].addmm_(rows[start:stop], rows[start:].T)
        else:
            total[start:stop, start:] += rows[start:stop] @ rows[start:].T


def mirror_upper_(total: Tensor) -> Tensor:
    """Copy the upper triangle onto the lower one, in place; returns `total`."""
    upper = torch.triu(total)
    return total.copy_(upper).add_(torch.triu(total, 1).T)
