"""The exponent of the density of eigenvalues, `p(lambda) ~ lambda^-a` above a fitted start.

Not the rank-decay exponent: `a = 1 + 1 / rank_decay_exponent`. A fit always returns a number, so its
distance from the data is part of the result. Source: A. Clauset, C. Shalizi and M. Newman, "Power-law
distributions in empirical data" (2009), eq. 3.1 and section 3.3; C. Martin and M. Mahoney;
docs/explanation/estimators.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectra_cli.core.measurements import WEIGHTS
from spectra_cli.core.types import FloatArray, Spectrum, Status
from spectra_cli.statistics.statistic import (
    SIZE,
    Estimate,
    Statistic,
    eigenvalue_threshold,
    never,
    of_rows,
    one_by_one,
    unresolved,
)

_MIN_VALUES = 50
_MIN_TAIL = 20
_NO_POWER_LAW = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityFit:
    """A power law through the largest eigenvalues.

    Attributes:
        exponent: a of `p ~ lambda^-a`.
        start: smallest eigenvalue in the fit; `num_values`: how many lie at or above it.
        distance: Kolmogorov-Smirnov distance of those from the fitted law.
    """

    exponent: float
    start: float
    num_values: int
    distance: float


def fit_density(eigenvalues: FloatArray) -> DensityFit:
    """Maximum likelihood above the start that brings the fit nearest to the data.

        a = 1 + k / sum_i ln(lambda_i / start)     over the k eigenvalues at or above the start

    Args:
        eigenvalues: (rank,) descending and positive, at least 20 of them.
    """
    logs = np.log(eigenvalues)
    best: DensityFit | None = None
    sums = np.cumsum(logs)
    for k in range(_MIN_TAIL, logs.size + 1):
        excess = sums[k - 1] - k * logs[k - 1]
        if excess <= 0 or (k < logs.size and logs[k] == logs[k - 1]):
            continue
        decay = k / excess
        law = 1 - np.exp(-decay * (logs[k - 1 :: -1] - logs[k - 1]))
        rank = np.arange(k + 1) / k
        distance = max(float((rank[1:] - law).max()), float((law - rank[:-1]).max()))
        if best is None or distance < best.distance:
            best = DensityFit(
                exponent=1 + float(decay), start=float(eigenvalues[k - 1]), num_values=k, distance=distance
            )
    if best is None:  # all equal: infinitely steep
        return DensityFit(exponent=np.inf, start=float(eigenvalues[-1]), num_values=logs.size, distance=1.0)
    return best


def _density_exponent(rows: FloatArray, spectrum: Spectrum) -> Estimate:
    positive = rows[0][rows[0] > eigenvalue_threshold(spectrum)]
    if positive.size < _MIN_VALUES:
        return unresolved(f"{positive.size} values above numerical zero, at least {_MIN_VALUES} are needed")
    fit = fit_density(positive)
    details = {
        "start": fit.start,
        "num_values": float(fit.num_values),
        "distance": fit.distance,
        "fit_stderr": (fit.exponent - 1) / np.sqrt(fit.num_values),
    }
    if not np.isfinite(fit.exponent):
        return unresolved("all values are equal: there is no tail to fit")
    if fit.distance <= _NO_POWER_LAW:
        return of_rows(np.array([fit.exponent]), details)
    reason = f"not a power law: {fit.distance:.2f} away from the fit ({_NO_POWER_LAW} allowed)"
    return Estimate(value=fit.exponent, status=Status.PARTIAL, reason=reason, details=details)


DENSITY_EXPONENT = Statistic(
    name="density_exponent",
    title="density exponent of the largest eigenvalues",
    short="density\nexponent",
    family=SIZE,
    phrase="density exponent",
    summary="Exponent a of p(eigenvalue) ~ eigenvalue^-a by maximum likelihood; 1 + 1 / rank-decay exponent.",
    source="Clauset, Shalizi and Newman 2009 (arXiv 0706.1062)",
    measurements=(WEIGHTS,),
    function=one_by_one(_density_exponent),
    by_default=never,  # a fit for every start: 40 ms at 768 values
)
