"""How large a distance between two spectra is from the noise of the probe alone.

A distance is the norm of a vector of gaps that vanishes where the spectra agree. The blocks of the
probe give that vector's noise, and with it the noise of the norm. If two models had equal spectra, then

    T = |gaps|^2 / tr S   ~   F(h, nu h),   h = (tr S)^2 / tr(S^2)

with S the jackknife covariance of the gaps and nu its degrees of freedom: a distance that is made of one
number is the t-test of that number.

Source: G. Box (1954), "Some theorems on quadratic forms", Annals of Mathematical Statistics 25; h without
the bias of few blocks. See docs/explanation/comparing.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc, fdtri

from spectra_cli.core.types import FloatArray
from spectra_cli.statistics.jackknife import deviations_of_blocks

FLOOR_QUANTILE = 0.95


def block_deviations(per_row: FloatArray, block_sizes: Sequence[int]) -> FloatArray:
    """What each block adds to the error of a vector: the sum of their squares is the squared standard error.

    Args:
        per_row: (..., 1 + B, K) vectors on the whole probe, then without each block.
        block_sizes: (B,).

    Returns:
        (..., B, K); the vector form of `statistics.jackknife.standard_errors`.
    """
    deviations: FloatArray = deviations_of_blocks(tuple(block_sizes)) @ (
        per_row[..., 1:, :] - per_row[..., :1, :]
    )
    return deviations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormNoise:
    """Norms of pure noise: their mean squares and the shapes of their distributions.

    Attributes:
        mean_square: (...,) expected square of each norm.
        directions: (...,) h, how many equally strong independent directions it is like.
        degrees: nu, of `mean_square` in each direction.
    """

    mean_square: FloatArray
    directions: FloatArray
    degrees: int

    def p_value(self, norm: FloatArray) -> FloatArray:
        """(...,) chances of norms at least as large, if there is nothing but noise."""
        silent = self.mean_square == 0.0
        ratio = norm**2 / np.where(silent, 1.0, self.mean_square)
        chance = fdtrc(self.directions, self.degrees * self.directions, ratio)
        return np.where(silent, np.where(norm == 0.0, 1.0, 0.0), chance)

    def quantile(self, share: float = FLOOR_QUANTILE) -> FloatArray:
        """(...,) the norms that noise stays below in this share of cases."""
        ratio = fdtri(self.directions, self.degrees * self.directions, share)
        quantile: FloatArray = np.sqrt(self.mean_square * ratio)
        return quantile


def squared_norm_noise(deviations: FloatArray, degrees: int) -> NormNoise:
    """Noise of a root of a sum of squares.

    Args:
        deviations: (..., blocks, K) of the gaps; those of both runs below each other where they are unpaired.
        degrees: of freedom, blocks less the means that were taken off.

    >>> squared_norm_noise(np.array([[3.0], [4.0]]), 1).mean_square.item()
    25.0
    """
    gram = deviations @ deviations.swapaxes(-1, -2)
    trace: FloatArray = np.trace(gram, axis1=-2, axis2=-1)
    if degrees < 2:
        return NormNoise(mean_square=trace, directions=np.ones_like(trace), degrees=max(degrees, 1))
    # tr(S)^2 and tr(S^2) of a covariance from few blocks, made unbiased; their common factor cancels
    squares = (gram**2).sum((-2, -1))
    numerator = trace**2 - 2.0 * squares / (degrees + 1.0)
    denominator = (squares - trace**2 / degrees) * degrees / (degrees + 1.0)
    most = float(min(deviations.shape[-2:]))
    known = denominator > 0.0
    directions = np.where(known, numerator / np.where(known, denominator, 1.0), most)
    directions = np.where(trace == 0.0, 1.0, np.clip(directions, 1.0, most))
    return NormNoise(mean_square=trace, directions=directions, degrees=degrees)


def absolute_sum_noise(deviations: FloatArray, degrees: int) -> NormNoise:
    """Noise of a sum of absolute values, as if all of them moved together: never too small."""
    scale = np.sqrt((deviations**2).sum(-2)).sum(-1)
    return NormNoise(mean_square=scale**2, directions=np.ones_like(scale), degrees=max(degrees, 1))
