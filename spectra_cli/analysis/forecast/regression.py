"""Does an early number of a run tell how many tokens it will need? Ranks, and leave-one-out regression.

See docs/how-to/forecast-tokens.md. Intervals: R. Foygel Barber, E. Candes, A. Ramdas and R. Tibshirani,
"Predictive inference with the jackknife+", Annals of Statistics 49 (2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.types import FloatArray

Places = NDArray[np.int64]

# Up to this many orderings every one is looked at; beyond, as many random ones.
MOST_ORDERINGS = 50_000


class Interval(NamedTuple):
    """A number, and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Spearman's rank correlation within families.

    Attributes:
        value: in [-1, 1].
        p_value: two-sided, over permutations inside each family.
        exact: whether every permutation was looked at, or a random sample of them.
    """

    value: float
    p_value: float
    exact: bool


def rank_correlation(
    predictor: FloatArray, response: FloatArray, families: Sequence[str], *, seed: int = 0
) -> RankCorrelation:
    """Correlation of ranks, taken inside each family, with its permutation p-value.

    Args:
        predictor, response: (n,) one number a run; a response of infinity (target never reached) is
            tied at the worst rank.
        families: (n,) runs of one family are compared with one another only.
        seed: of the sampled permutations, where there are too many for all.
    """
    groups = [np.flatnonzero(np.array(families) == name) for name in dict.fromkeys(families)]
    x, y = ranks_within(predictor, families), ranks_within(response, families)
    scale = math.sqrt(float(x @ x) * float(y @ y))
    if scale == 0.0:
        return RankCorrelation(value=math.nan, p_value=math.nan, exact=True)
    observed = float(x @ y) / scale
    exact = math.prod(math.factorial(len(group)) for group in groups) <= MOST_ORDERINGS
    orderings = _all_orderings(groups, x.size) if exact else _some_orderings(groups, x.size, seed)
    correlations = x[orderings] @ y / scale
    # ties in the last digit count as at least as extreme
    extreme = int((np.abs(correlations) >= abs(observed) - 1e-12).sum())
    p_value = extreme / len(orderings) if exact else (extreme + 1) / (len(orderings) + 1)
    return RankCorrelation(value=observed, p_value=p_value, exact=exact)


def average_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1; equal values, infinities among them, share the mean of theirs.

    >>> average_ranks(np.array([3.0, np.inf, 1.0, np.inf])).tolist()
    [2.0, 3.5, 1.0, 3.5]
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def within(values: FloatArray, families: Sequence[str]) -> FloatArray:
    """(n,) the values less their family's mean."""
    names, centred = np.array(families), np.array(values, dtype=np.float64)
    for name in dict.fromkeys(families):
        centred[names == name] -= centred[names == name].mean()
    return centred


def ranks_within(values: FloatArray, families: Sequence[str]) -> FloatArray:
    """(n,) the ranks inside each family, less their mean; ties share theirs."""
    names, ranks = np.array(families), np.empty(len(families))
    for name in dict.fromkeys(families):
        ranks[names == name] = average_ranks(values[names == name])
    return within(ranks, families)


def _all_orderings(groups: Sequence[Places], size: int) -> Places:
    rows = []
    for choice in product(*(permutations(group) for group in groups)):
        order = np.empty(size, dtype=np.int64)
        for group, permuted in zip(groups, choice, strict=True):
            order[group] = permuted
        rows.append(order)
    return np.array(rows)


def _some_orderings(groups: Sequence[Places], size: int, seed: int) -> Places:
    generator = np.random.default_rng(seed)
    rows = np.empty((MOST_ORDERINGS, size), dtype=np.int64)
    for group in groups:
        rows[:, group] = generator.permuted(np.tile(group, (MOST_ORDERINGS, 1)), axis=1)
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut:
    """A linear regression judged on runs that it has not seen.

    Attributes:
        coefficients: (features,) of the fit on all runs.
        stderrs: (features,) jackknife over runs.
        residuals: (n,) of each run under the fit without it.
        predictive: Q^2 = 1 - PRESS / PRESS_0, PRESS_0 of the family means, left out too; at most 1, below
            0 where the family mean predicts better.
    """

    coefficients: FloatArray
    stderrs: FloatArray
    residuals: FloatArray
    predictive: float


def leave_one_out(features: FloatArray, response: FloatArray, families: Sequence[str]) -> LeaveOneOut | None:
    """`y = a_family + features @ b`, fitted n times with one run left out.

    Args:
        features: (n, k); may have no columns (the family mean).
        response: (n,) finite.
        families: (n,).

    Returns:
        None where the runs do not determine the fit: a family of one run, fewer runs than unknowns, or
        features that depend on each other.
    """
    intercepts = (np.array(families)[:, None] == np.array(list(dict.fromkeys(families)))).astype(float)
    design = np.hstack([intercepts, features])
    if intercepts.sum(0).min() < 2 or len(response) - 1 < design.shape[1]:
        return None
    fits = []
    for row in range(len(response)):
        keep = np.arange(len(response)) != row
        solution, _, rank, _ = np.linalg.lstsq(design[keep], response[keep])
        if rank < design.shape[1]:
            return None
        fits.append(solution)
    without = np.array(fits)
    residuals = response - (design * without).sum(1)
    means = np.array(
        [
            response[(np.array(families) == name) & (np.arange(len(response)) != row)].mean()
            for row, name in enumerate(families)
        ]
    )
    null = float(((response - means) ** 2).sum())
    slopes = without[:, intercepts.shape[1] :]
    n = len(response)
    return LeaveOneOut(
        coefficients=np.linalg.lstsq(design, response)[0][intercepts.shape[1] :],
        stderrs=np.sqrt((n - 1) / n * ((slopes - slopes.mean(0)) ** 2).sum(0)),
        residuals=residuals,
        predictive=1.0 - float(residuals @ residuals) / null if null > 0 else math.nan,
    )


def prediction_interval(
    features: FloatArray,
    response: FloatArray,
    families: Sequence[str],
    *,
    at: FloatArray,
    family: str,
    level: float = 0.8,
) -> tuple[float, float]:
    """Jackknife+ interval of the response of a new run.

    Args:
        features, response, families: of the runs that are known, as in `leave_one_out`.
        at: (k,) features of the new run, of a family that is among them.
        level: the interval covers a new run at least `2 level - 1` of the time, about `level` in practice;
            (-inf, inf) where n runs are too few for it: n < level / (1 - level).
    """
    names = list(dict.fromkeys(families))
    intercepts = (np.array(families)[:, None] == np.array(names)).astype(float)
    design = np.hstack([intercepts, features])
    point = np.concatenate([(np.array(names) == family).astype(float), at])
    n = len(response)
    low, high = np.empty(n), np.empty(n)
    for row in range(n):
        keep = np.arange(n) != row
        solution = np.linalg.lstsq(design[keep], response[keep])[0]
        error = abs(float(response[row] - design[row] @ solution))
        low[row], high[row] = point @ solution - error, point @ solution + error
    # 0.9 * 10 may come out a little above 9 in floating point
    above = math.ceil(level * (n + 1) - 1e-9)
    below = n + 1 - above
    return (
        float(np.sort(low)[below - 1]) if below >= 1 else -math.inf,
        float(np.sort(high)[above - 1]) if above <= n else math.inf,
    )
