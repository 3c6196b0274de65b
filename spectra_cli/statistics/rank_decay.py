"""The rank-decay exponent: how fast eigenvalues fall with rank, `lambda_j ~ j^-a`.

Always an exponent of *eigenvalues*; that of the singular values is half of it.
See docs/explanation/estimators.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spectra_cli.core.types import FloatArray

_GRID_FACTORS = (0.7, 0.85, 1.0, 1.2, 1.4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankWindow:
    """Ranks lo..hi, both included and counted from 1, with what a line through them needs.

    Attributes:
        x: (points,) log rank minus its mean; `x_mean`: that mean.
        sxx: sum of x squared.
        weights: (points,) x / sxx: the slope is their product with log eigenvalues.
        bend: (points,) x squared, made orthogonal to the line and to the constant.
    """

    lo: int
    hi: int
    x: FloatArray
    x_mean: float
    sxx: float
    weights: FloatArray
    bend: FloatArray

    @property
    def num_points(self) -> int:
        """Ranks in the window."""
        return self.hi - self.lo + 1


@lru_cache(maxsize=1024)
def window(lo: int, hi: int) -> RankWindow:
    """The window of ranks lo..hi.

    >>> round(window(30, 150).sxx, 2)
    23.56
    """
    log_rank = np.log(np.arange(lo, hi + 1, dtype=np.float64))
    x_mean = float(log_rank.mean())
    x = log_rank - x_mean
    sxx = float(x @ x)
    square = x**2
    bend = square - square.mean() - x * (x @ square) / sxx
    return RankWindow(lo=lo, hi=hi, x=x, x_mean=x_mean, sxx=sxx, weights=x / sxx, bend=bend)


def rank_decay_exponent(
    eigenvalues: FloatArray, lo: int, hi: int, *, threshold: float | FloatArray = 0.0
) -> FloatArray:
    """Least-squares exponent over ranks lo..hi: `-sum_j w_j log lambda_j`.

    The window is never clipped: a row with fewer than `hi` values above the threshold gives NaN.

    Args:
        eigenvalues: (..., rank) descending.
        lo: first rank, from 1.
        hi: last rank, included.
        threshold: eigenvalues at or below it are numerically zero; one for all, or one for each.

    Returns:
        (...,) exponents.

    >>> rank_decay_exponent(np.arange(1.0, 101.0) ** -1.5, 30, 90).round(12).item()
    1.5
    """
    if hi > eigenvalues.shape[-1]:
        return np.full(eigenvalues.shape[:-1], np.nan)
    inside = eigenvalues[..., lo - 1 : hi]
    resolved = inside[..., -1] > np.maximum(threshold, 0.0)
    logs = np.log(np.where(resolved[..., None], inside, 1.0))
    # Relative to the first point, so that a constant spectrum gives an exact zero.
    slope = (logs - logs[..., :1]) @ window(lo, hi).weights
    return np.where(resolved, 0.0 - slope, np.nan)


def fit_details(eigenvalues: FloatArray, lo: int, hi: int, *, threshold: float = 0.0) -> dict[str, float]:
    """What stands beside an exponent so that it can be judged; a high R^2 proves no power law.

    Args:
        eigenvalues: (rank,) descending, more than `hi - 1` of them above the threshold.
        lo: first rank of the window.
        hi: last rank.
        threshold: numerical zero.

    Returns:
        window_lo, window_hi, num_points; intercept (log eigenvalue at rank 1 by the line);
        r_squared (NaN for a flat spectrum); max_abs_residual; curvature (coefficient of a further
        term in log^2 rank) and curvature_t, its ratio to its least-squares error (NaN for an exact
        fit); window_sd, the spread of the exponent over window_sd_fits windows around this one.
    """
    line = window(lo, hi)
    logs = np.log(eigenvalues[lo - 1 : hi])
    y = logs - logs[0]
    slope = float(line.weights @ y)
    residual = y - y.mean() - slope * line.x
    total, left = float(((y - y.mean()) ** 2).sum()), float(residual @ residual)
    bend_norm = float(line.bend @ line.bend)
    curvature = float(line.bend @ residual) / bend_norm
    left_of_bend = left - curvature**2 * bend_norm
    t_scale = math.sqrt(max(left_of_bend, 0.0) / (line.num_points - 3) / bend_norm)
    exponents = _around(eigenvalues, lo, hi, threshold=threshold)
    return {
        "window_lo": float(lo),
        "window_hi": float(hi),
        "num_points": float(line.num_points),
        "intercept": float(logs.mean()) - slope * line.x_mean,
        "r_squared": 1.0 - left / total if total > 0 else math.nan,
        "max_abs_residual": float(np.abs(residual).max()),
        "curvature": curvature,
        "curvature_t": curvature / t_scale if t_scale > 0 else math.nan,
        "window_sd": float(exponents.std()),
        "window_sd_fits": float(exponents.size),
    }


@lru_cache(maxsize=256)
def _grid(lo: int, hi: int) -> tuple[FloatArray, FloatArray]:
    """Slope weights (25, 1.4 hi) and last ranks (25,) of the windows around lo..hi."""
    windows = [
        window(max(1, round(lo * low)), round(hi * high)) for low in _GRID_FACTORS for high in _GRID_FACTORS
    ]
    windows = [w for w in windows if w.num_points >= 3]
    weights = np.zeros((len(windows), max(w.hi for w in windows)))
    for row, w in zip(weights, windows, strict=True):
        row[w.lo - 1 : w.hi] = w.weights
    return weights, np.array([w.hi for w in windows], dtype=np.float64)


def _around(eigenvalues: FloatArray, lo: int, hi: int, *, threshold: float) -> FloatArray:
    """Exponents over a 5 x 5 grid of windows; those that reach beyond the spectrum are left out."""
    weights, last = _grid(lo, hi)
    above = eigenvalues[: weights.shape[1]]
    above = above[above > max(threshold, 0.0)]
    logs = np.log(above)
    slopes: FloatArray = weights[last <= above.size, : above.size] @ (logs - logs[0])
    return -slopes
