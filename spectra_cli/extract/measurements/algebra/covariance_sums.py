"""Sums behind a covariance: count, sum and products of rows less a shift, in float64 on one device."""

from __future__ import annotations

import torch
from torch import Tensor

from spectra_cli.extract.measurements.algebra.gram import add_gram_, mirror_upper_, tiles


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
