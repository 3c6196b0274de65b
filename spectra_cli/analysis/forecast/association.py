"""Association of two numbers over runs, inside families: Pearson, Kendall, partial ranks, attenuation.

See docs/how-to/forecast-tokens.md. Spearman's correlation with its permutation p-value is in `forecasting`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from spectra_cli.analysis.forecast.regression import Interval, ranks_within, within
from spectra_cli.core.types import FloatArray


def pearson(first: FloatArray, second: FloatArray, families: Sequence[str]) -> Interval:
    """Pearson's correlation after each family's mean is taken off; NaN where one number does not vary.

    Fisher's 95 % interval, `tanh(atanh r -+ 1.96 / sqrt(n - 3 - (families - 1)))`; NaN where the root is of
    nothing.

    >>> pearson(np.array([1.0, 2, 3, 4]), np.array([2.0, 4, 6, 8]), ["a"] * 4).value
    1.0
    """
    value = _correlation(within(first, families), within(second, families))
    degrees = len(families) - 3 - (len(set(families)) - 1)
    if degrees < 1 or math.isnan(value):
        return Interval(value=value, low=math.nan, high=math.nan)
    if abs(value) == 1.0:
        return Interval(value=value, low=value, high=value)
    middle, half = math.atanh(value), float(ndtri(0.975)) / math.sqrt(degrees)
    return Interval(value=value, low=math.tanh(middle - half), high=math.tanh(middle + half))


def kendall(first: FloatArray, second: FloatArray, families: Sequence[str]) -> float:
    """Kendall's tau-b over the pairs inside families; infinities are ties at the end.

    tau_b = sum sign(dx) sign(dy) / sqrt(sum sign(dx)^2 sum sign(dy)^2)

    >>> kendall(np.array([1.0, 2, 3]), np.array([1.0, 3, 2]), ["a"] * 3).__round__(12)
    0.333333333333
    """
    names = np.array(families)
    i, j = np.triu_indices(len(names), 1)
    inside = names[i] == names[j]
    signs = [
        np.sign(r[i] - r[j])[inside] for r in (ranks_within(first, families), ranks_within(second, families))
    ]
    scale = math.sqrt(float((signs[0] ** 2).sum()) * float((signs[1] ** 2).sum()))
    return float(signs[0] @ signs[1]) / scale if scale else math.nan


def partial_rank_correlation(
    first: FloatArray, second: FloatArray, controls: FloatArray, families: Sequence[str]
) -> float:
    """Spearman's correlation of what the ranks of the controls do not explain.

    Args:
        first, second: (n,).
        controls: (n, k).
        families: (n,).

    Returns:
        NaN with fewer than two degrees of freedom left, or where the controls explain everything.
    """
    k = controls.shape[1]
    if len(families) - len(set(families)) - k < 2:
        return math.nan
    known = np.column_stack([ranks_within(controls[:, column], families) for column in range(k)])
    left = []
    for values in (first, second):
        ranks = ranks_within(values, families)
        residual = ranks - known @ np.linalg.lstsq(known, ranks)[0]
        # what rounding leaves of ranks that the controls explain
        if math.sqrt(float(residual @ residual)) <= 1e-9 * math.sqrt(float(ranks @ ranks)):
            return math.nan
        left.append(residual)
    return _correlation(*left)


def reliability(values: FloatArray, stderrs: FloatArray, families: Sequence[str]) -> float:
    """`1 - SE^2 / Var`: the factor by which noise in a predictor shrinks its slope.

    Var is the variance inside families, SE^2 the mean squared standard error; NaN without errors.
    """
    centred = within(values, families)
    degrees = len(families) - len(set(families))
    if degrees < 1 or not np.isfinite(stderrs).all() or not centred.any():
        return math.nan
    return 1.0 - float((stderrs**2).mean()) / (float(centred @ centred) / degrees)


def _correlation(first: FloatArray, second: FloatArray) -> float:
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return min(1.0, max(-1.0, float(first @ second) / scale)) if scale else math.nan
