"""How large a distance between two spectra is from the noise of the probe alone.

A distance is the norm of a vector of gaps that vanishes where the spectra agree. The blocks of the
probe give that vector's noise, and with it the noise of the norm. If two models had equal spectra, then

    T = |gaps|^2 / tr S   ~   F(h, nu h),   h = (tr S)^2 / tr(S^2)

with S the jackknife covariance of the gaps and nu its degrees of freedom: a distance that is made of one
number is the t-test of that number.

Source: G. Box (1954), "Some theorems on quadratic forms", Annals of Mathematical Statistics 25; h without
the bias of few blocks: specs E5, E6 ask for the 95 % quantile, there from random halves of the probe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import fdtrc, fdtri

from spectra_cli.core.types import FloatArray

FLOOR_QUANTILE = 0.95


def block_deviations(per_row: FloatArray, block_sizes: Sequence[int]) -> FloatArray:
    """What each block adds to the error of a vector: the sum of their squares is the squared standard error.

    Args:
        per_row: (1 + B, K) the vector on the whole probe, then without each block.
        block_sizes: (B,).

    Returns:
        (B, K); the vector form of `statistics.jackknife.standard_error`.
    """
    inverse_share, scale = _weights(tuple(block_sizes))
    whole, deleted = per_row[0], per_row[1:]
    pseudo = inverse_share * whole - (inverse_share - 1.0) * deleted
    mean = len(deleted) * whole - ((1.0 - 1.0 / inverse_share) * deleted).sum(0)
    deviations: FloatArray = (pseudo - mean) * scale
    return deviations


@lru_cache(maxsize=64)
def _weights(block_sizes: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
    sizes = np.array(block_sizes, dtype=float)
    inverse_share: FloatArray = (sizes.sum() / sizes)[:, None]
    scale: FloatArray = 1.0 / np.sqrt(sizes.size * (inverse_share - 1.0))
    return inverse_share, scale


@dataclass(frozen=True, slots=True, kw_only=True)
class NormNoise:
    """The norm of pure noise: its mean square and the shape of its distribution.

    Attributes:
        mean_square: expected square of the norm.
        directions: h, how many equally strong independent directions it is like.
        degrees: nu, of `mean_square` in each direction.
    """

    mean_square: float
    directions: float
    degrees: int

    def p_value(self, norm: float) -> float:
        """Chance of a norm at least as large, if there is nothing but noise."""
        if self.mean_square == 0.0:
            return 1.0 if norm == 0.0 else 0.0
        ratio = norm**2 / self.mean_square
        return float(fdtrc(self.directions, self.degrees * self.directions, ratio))

    def quantile(self, share: float = FLOOR_QUANTILE) -> float:
        """The norm that noise stays below in this share of cases."""
        ratio = float(fdtri(self.directions, self.degrees * self.directions, share))
        return math.sqrt(self.mean_square * ratio)


def squared_norm_noise(deviations: FloatArray, degrees: int) -> NormNoise:
    """Noise of a root of a sum of squares.

    Args:
        deviations: (blocks, K) of the gaps; those of both runs below each other where they are unpaired.
        degrees: of freedom, blocks less the means that were taken off.

    >>> squared_norm_noise(np.array([[3.0], [4.0]]), 1).mean_square
    25.0
    """
    gram = deviations @ deviations.T
    trace, squares = float(np.trace(gram)), float((gram**2).sum())
    if trace == 0.0 or degrees < 2:
        return NormNoise(mean_square=trace, directions=1.0, degrees=max(degrees, 1))
    # tr(S)^2 and tr(S^2) of a covariance from few blocks, made unbiased; their common factor cancels
    numerator = trace**2 - 2.0 * squares / (degrees + 1.0)
    denominator = (squares - trace**2 / degrees) * degrees / (degrees + 1.0)
    most = float(min(deviations.shape))
    directions = numerator / denominator if denominator > 0.0 else most
    return NormNoise(mean_square=trace, directions=min(max(directions, 1.0), most), degrees=degrees)


def absolute_sum_noise(deviations: FloatArray, degrees: int) -> NormNoise:
    """Noise of a sum of absolute values, as if all of them moved together: never too small."""
    scale = float(np.sqrt((deviations**2).sum(0)).sum())
    return NormNoise(mean_square=scale**2, directions=1.0, degrees=max(degrees, 1))
