"""Float64 Gram matrices, of which half is computed, and the sums behind a covariance.

These are count, sum and products of rows less a shift, on one device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectra_cli.core.types import FloatArray

# Tiles to a side: with more of them less of the lower triangle is computed, with larger ones faster.
_TILES, _SMALLEST_TILE = 8, 32
# Float64 columns that one core has in flight.
_CHUNK_BYTES = 2 * 2**20


def tiles(n: int) -> Iterator[slice]:
    """Rows of the tiles that hold the upper triangle of an (n, n) matrix; each reaches from its first row's
    diagonal entry to the last column.

    >>> list(tiles(80))
    [slice(0, 32, None), slice(32, 64, None), slice(64, 80, None)]
    """
    size = max(_SMALLEST_TILE, -(-n // _TILES))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def packed_size(n: int) -> int:
    """Entries in the tiles of an (n, n) matrix.

    >>> packed_size(80)
    4352
    """
    return sum((rows.stop - rows.start) * (n - rows.start) for rows in tiles(n))


def gram_operations(rows: int, columns: float) -> float:
    """Floating-point operations of the upper tiles of (rows, columns) times its transpose."""
    return 2.0 * packed_size(rows) * columns


def packed_quadratic_forms(packed: NDArray[np.floating[Any]], axes: FloatArray) -> FloatArray:
    """`v^T M v` for each column v of `axes`, by half the work of `M @ axes`.

    Args:
        packed: the tiles of a symmetric M (D, D), each flat, one behind the other; products are in its dtype.
        axes: (D, k).

    Returns:
        (k,).
    """
    directions = axes.astype(packed.dtype, copy=False)
    total = np.zeros(axes.shape[1])
    first = 0
    for rows in tiles(len(axes)):
        height, width = rows.stop - rows.start, len(axes) - rows.start
        tile = packed[first : first + height * width].reshape(height, width)
        first += height * width
        # what is right of the diagonal tile stands for its mirror image too
        product = tile[:, :height] @ directions[rows] + 2.0 * (tile[:, height:] @ directions[rows.stop :])
        total += np.einsum("ij,ij->j", directions[rows], product)
    return total


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
    for own in tiles(len(total)):
        total[own, own.start :].addmm_(rows[own], rows[own.start :].T)


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
    width = max(1, _CHUNK_BYTES // (8 * n))
    total, product, wide = np.zeros((n, n)), np.empty((n, n)), np.empty((n, min(width, num_columns)))
    for start in range(0, num_columns, width):
        chunk = wide[:, : min(width, num_columns - start)]
        chunk[...] = rows[:, start : start + width]
        total += np.matmul(chunk, chunk.T, out=product)
    return total


class ShiftedSums:
    """Sums of `x - shift` and of its outer products, for rows that arrive in batches.

    The shift (a pilot mean) is taken off before the product is formed, so that a mean much larger
    than the spread costs no digits (docs/explanation/estimators.md). Sums about the same shift add up.
    """

    def __init__(self, shift: Tensor) -> None:
        """Start empty, about `shift`: (D,) float64."""
        width = shift.shape[0]
        self._shift = shift
        self._sum = shift.new_zeros(width)
        self._products = shift.new_zeros(width, width)  # tiles on and above the diagonal
        self.count = shift.new_zeros(())

    def add(self, rows: Tensor, keep: Tensor) -> None:
        """Take in `rows` (R, D) in float64, of which those with `keep` (R,) true count."""
        centred = (rows - self._shift).masked_fill_(~keep[:, None], 0.0)
        self._sum += centred.sum(0)
        self.count += keep.sum()
        add_gram_(self._products, centred.T)

    def take(self, other: ShiftedSums) -> None:
        """Add the rows of another, about the same shift, and leave it empty."""
        for own, its in (
            (self._sum, other._sum),
            (self._products, other._products),
            (self.count, other.count),
        ):
            own.add_(its)
            its.zero_()

    def merge(self, other: ShiftedSums) -> None:
        """Add the rows of another, whatever its shift.

        With `d` its shift less one's own, `sum (y + d)(y + d)^T = sum y y^T + s d^T + d s^T + n d d^T`. Both
        shifts are means of rows of one kind, so that `d` is no larger than the spread.
        """
        d, s, n = other._shift - self._shift, other._sum, other.count
        self._sum += s + n * d
        self._products += other._products + torch.outer(s, d) + torch.outer(d, s) + n * torch.outer(d, d)
        self.count += n

    @property
    def mean(self) -> Tensor:
        """Of all rows so far: (D,)."""
        return self._sum / self.count.clamp(min=1) + self._shift

    def moment(self) -> Tensor:
        """`sum (x - mean)(x - mean)^T` over all rows so far: (D, D)."""
        offset = self._sum / self.count.clamp(min=1)
        return mirror_upper_(torch.addr(self._products, self._sum, offset, alpha=-1.0))

    def trace(self) -> Tensor:
        """Of `moment`: ()."""
        offset = self._sum / self.count.clamp(min=1)
        return self._products.diagonal().sum() - self._sum @ offset

    def packed_moment(self) -> Tensor:
        """The tiles of `moment` on and above the diagonal (see `tiles`), each flat, one behind the other."""
        offset = self._sum / self.count.clamp(min=1)
        return torch.cat(
            [
                torch.addr(
                    self._products[rows, rows.start :], self._sum[rows], offset[rows.start :], alpha=-1.0
                ).flatten()
                for rows in tiles(len(offset))
            ]
        )
