"""Mergeable sums behind a covariance: count, mean, centred second moment (Chan et al. 1983)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spectra_cli.extract.measurements.gram import add_gram_, mirror_upper_


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CovarianceSums:
    """n, mean and M = sum (x - mean)(x - mean)^T of some rows; float64, on one device.

    Attributes:
        count: () number of rows.
        mean: (D,).
        moment: (D, D).
    """

    count: Tensor
    mean: Tensor
    moment: Tensor

    def merge(self, other: CovarianceSums) -> CovarianceSums:
        """The sums of both sets of rows together, in either order (specs/measurements.md A5)."""
        count = self.count + other.count
        share = torch.where(count > 0, other.count / count.clamp(min=1), 0.0)
        delta = other.mean - self.mean
        moment = torch.addr(self.moment + other.moment, delta, delta * (self.count * share))
        return CovarianceSums(count=count, mean=self.mean + delta * share, moment=moment)

    def about(self, mean: Tensor) -> Tensor:
        """The second moment of the same rows about another mean: (D, D)."""
        delta = self.mean - mean
        return torch.addr(self.moment, delta, delta * self.count)


class ShiftedSums:
    """Sums of `x - shift` and of its outer products, for rows that arrive in batches.

    The shift (a pilot mean) is taken off before the product is formed, so that a mean much larger
    than the spread costs no digits (specs/measurements.md A9).
    """

    def __init__(self, shift: Tensor) -> None:
        """Start empty, about `shift`: (D,) float64."""
        width = shift.shape[0]
        self._shift = shift
        self._sum = shift.new_zeros(width)
        self._products = shift.new_zeros(width, width)
        self._count = shift.new_zeros(())

    def add(self, rows: Tensor, keep: Tensor) -> None:
        """Take in `rows` (R, D), of which those with `keep` (R,) true count; products in their dtype."""
        centred = torch.where(keep[:, None], rows - self._shift.to(rows.dtype), 0.0)
        self._sum += centred.sum(0, dtype=torch.float64)
        self._count += keep.sum()
        add_gram_(self._products, centred.T)

    def sums(self) -> CovarianceSums:
        """Count, mean and centred moment of all rows so far."""
        mean = self._sum / self._count.clamp(min=1)
        moment = mirror_upper_(self._products.clone())
        moment.addr_(self._sum, mean, alpha=-1.0)
        return CovarianceSums(count=self._count, mean=mean + self._shift, moment=moment)
