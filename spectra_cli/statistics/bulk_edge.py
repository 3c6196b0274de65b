"""The Marchenko-Pastur bulk of a weight matrix and the singular values outside it.

A matrix of independent entries of scale s has its singular values inside a known bulk; those above
the cut carry structure, provided that the rest looks like the bulk at all, which is checked.
Source: V. Marchenko and L. Pastur 1967; I. Johnstone, "On the distribution of the largest
eigenvalue" (2001); docs/explanation/estimators.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spectra_cli.core.measurements import WEIGHTS
from spectra_cli.core.types import FloatArray, Spectrum, Status
from spectra_cli.statistics.statistic import LEVEL, Estimate, Statistic, of_rows, one_by_one, unresolved

_TRACY_WIDOM_99 = 2.0234
_RESHAPED = 0.1  # distance from the bulk's law above which it does not describe the matrix
_MIN_VALUES = 32


def marchenko_pastur_cdf(x: FloatArray, aspect: float) -> FloatArray:
    """Share of the eigenvalues of `Z Z^T / N` below x, for p x N unit-variance Z with p <= N.

    Args:
        x: (points,) eigenvalues.
        aspect: p / N, in (0, 1].

    >>> marchenko_pastur_cdf(np.array([0.0, 0.652776, 4.0]), 1.0).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    lower, upper = (1 - math.sqrt(aspect)) ** 2, (1 + math.sqrt(aspect)) ** 2
    z = np.clip(x, lower, upper)
    middle, width, product = (upper + lower) / 2, (upper - lower) / 2, upper * lower
    root = np.sqrt((upper - z) * (z - lower))
    # The density is root / (2 pi aspect z); its antiderivative has a closed form in two angles.
    angle = np.arccos(np.clip((middle - z) / width, -1, 1))
    mirrored = product / np.maximum(z, np.finfo(np.float64).tiny)
    mirrored_angle = np.arccos(np.clip((mirrored - middle) / width, -1, 1))
    integral = root + middle * angle - math.sqrt(product) * mirrored_angle
    return np.clip(integral / (2 * np.pi * aspect), 0.0, 1.0)


@lru_cache(maxsize=256)
def marchenko_pastur_median(aspect: float) -> float:
    """Median of the law, by bisection.

    >>> [round(marchenko_pastur_median(aspect), 6) for aspect in (1, 1 / 2, 1 / 4)]
    [0.652776, 0.830466, 0.916004]
    """
    low, high = (1 - math.sqrt(aspect)) ** 2, (1 + math.sqrt(aspect)) ** 2
    for _ in range(60):
        middle = (low + high) / 2
        below = marchenko_pastur_cdf(np.array([middle]), aspect)[0] < 0.5
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """The bulk that fits a matrix, and what lies outside.

    Attributes:
        scale: standard deviation of the entries, from the median singular value.
        edge: largest singular value of such a bulk; `cut`: its 99 % quantile in a finite matrix.
        num_outliers: singular values above the cut; `outlier_share`: their share of the squares.
        distance: Kolmogorov-Smirnov distance of the others from the Marchenko-Pastur law.
    """

    scale: float
    edge: float
    cut: float
    num_outliers: int
    outlier_share: float
    distance: float


def fit_bulk(singular_values: FloatArray, fan_out: int, fan_in: int) -> Bulk:
    """The bulk through the median singular value of a fan_out x fan_in matrix.

        s^2 = median(sigma^2) / (N q),  edge = s (sqrt p + sqrt N),
        cut^2 = s^2 [(sqrt(N-1) + sqrt p)^2 + 2.0234 (sqrt(N-1) + sqrt p)(1/sqrt(N-1) + 1/sqrt p)^(1/3)]

    with p and N the smaller and larger side, and q the median of the law of aspect p / N.

    Args:
        singular_values: (p,) descending, the median above zero.
        fan_out: rows of the matrix.
        fan_in: columns.
    """
    p, n = sorted((fan_out, fan_in))
    squares = singular_values**2
    scale_squared = float(np.median(squares)) / (n * marchenko_pastur_median(p / n))
    reach = math.sqrt(n - 1) + math.sqrt(p)
    spread = reach * (1 / math.sqrt(n - 1) + 1 / math.sqrt(p)) ** (1 / 3)
    cut_squared = scale_squared * (reach**2 + _TRACY_WIDOM_99 * spread)
    num_outliers = int((squares > cut_squared).sum())
    bulk = squares[num_outliers:][::-1] / (n * scale_squared)
    law, steps = marchenko_pastur_cdf(bulk, p / n), np.arange(bulk.size + 1) / bulk.size
    distance = max(float(np.abs(law - steps[1:]).max()), float(np.abs(law - steps[:-1]).max()))
    return Bulk(
        scale=math.sqrt(scale_squared),
        edge=math.sqrt(scale_squared) * (math.sqrt(p) + math.sqrt(n)),
        cut=math.sqrt(cut_squared),
        num_outliers=num_outliers,
        outlier_share=float(squares[:num_outliers].sum() / squares.sum()),
        distance=distance,
    )


def _misfit(spectrum: Spectrum) -> str:
    size = spectrum.values.size
    if size < _MIN_VALUES:
        return f"{size} singular values, at least {_MIN_VALUES} are needed to see a bulk"
    if np.median(spectrum.values) <= spectrum.zero_threshold:
        return f"{spectrum.num_zero} of {size} singular values are numerically zero, so that no bulk shows"
    return ""


def _judged(value: float, bulk: Bulk) -> Estimate:
    details = {
        "scale": bulk.scale,
        "edge": bulk.edge,
        "cut": bulk.cut,
        "outlier_share": bulk.outlier_share,
        "distance": bulk.distance,
    }
    found = of_rows(np.array([value]), details)
    if bulk.distance <= _RESHAPED:
        return found
    reason = f"bulk reshaped: {bulk.distance:.2f} away from the Marchenko-Pastur law ({_RESHAPED} allowed)"
    return Estimate(value=value, status=Status.PARTIAL, reason=reason, details=details)


def _num_outliers(rows: FloatArray, spectrum: Spectrum) -> Estimate:
    if reason := _misfit(spectrum):
        return unresolved(reason)
    bulk = fit_bulk(spectrum.values, spectrum.num_samples, spectrum.ambient_dim)
    return _judged(float(bulk.num_outliers), bulk)


def _soft_rank(rows: FloatArray, spectrum: Spectrum) -> Estimate:
    if reason := _misfit(spectrum):
        return unresolved(reason)
    bulk = fit_bulk(spectrum.values, spectrum.num_samples, spectrum.ambient_dim)
    return _judged(float(bulk.edge**2 / rows[0, 0]), bulk)


NUM_OUTLIERS = Statistic(
    name="num_outliers",
    title="singular values outside the bulk",
    short="outliers",
    family=LEVEL,
    phrase="number of outliers",
    summary="Singular values above the 99 % quantile of the largest one of a Marchenko-Pastur bulk.",
    source="Johnstone 2001",
    measurements=(WEIGHTS,),
    function=one_by_one(_num_outliers),
)
MP_SOFTRANK = Statistic(
    name="mp_softrank",
    title="bulk edge over largest value",
    short="MP\nsoft rank",
    family=LEVEL,
    phrase="soft rank",
    summary="Squared edge of the Marchenko-Pastur bulk over the largest eigenvalue: 1 for pure noise.",
    source="Martin and Mahoney 2021 (arXiv 1810.01075)",
    measurements=(WEIGHTS,),
    function=one_by_one(_soft_rank),
)
