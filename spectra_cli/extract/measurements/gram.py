"""Float64 Gram matrices, of which half is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectra_cli.core.types import FloatArray

TILE = 64
# Float64 columns that one core has in flight: what its cache holds.
_CHUNK_BYTES = 2**20


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


def gram_on_one_core(rows: NDArray[np.floating[Any]]) -> FloatArray:
    """`rows @ rows.T`, (n, k) -> (n, n) float64, a chunk of columns at a time.

    In numpy, which multiplies a matrix by its own transpose at half the work: for many matrices side by side,
    while torch computes nothing.
    """
    n, num_columns = rows.shape
    total = np.zeros((n, n))
    width = max(1, _CHUNK_BYTES // (8 * n))
    for start in range(0, num_columns, width):
        chunk = rows[:, start : start + width].astype(np.float64)
        total += chunk @ chunk.T
    return total
