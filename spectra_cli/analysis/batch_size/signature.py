"""What batch size does to the numbers named beforehand, held against noise of the probe and of the seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spectra_cli.analysis.batch_size.trend import BatchTrend
from spectra_cli.core.measurements import ACTIVATIONS

SIGNATURE = ("tail_exponent_scaled", "head_exponent_1_10", "head_exponent_2_10", "log_rankme_cov")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignatureRow:
    """One number at one site over batch sizes, at the lowest loss that all runs reach.

    Attributes:
        means: tokens a step -> mean over its seeds.
        noise: median over the runs of the standard error from the probe.
        seed_spread: standard deviation over the seeds of one batch size; NaN with one seed.
        trend: with the batch size.
    """

    means: Mapping[int, float]
    noise: float
    seed_spread: float
    trend: BatchTrend


def signature(
    trends: Sequence[BatchTrend], *, sizes: Sequence[int], target: float
) -> tuple[SignatureRow, ...]:
    """The activations' numbers of `SIGNATURE` at one point, over seeds.

    Args:
        sizes: tokens a step of each run; target: the point.
    """
    rows = []
    for trend in trends:
        of = trend.of
        if of.target != target or of.measurement != ACTIVATIONS or of.statistic not in SIGNATURE:
            continue
        values = [math.nan if run is None else run.value for run in of.runs]
        errors = [math.nan if run is None else run.stderr for run in of.runs]
        rows.append(
            SignatureRow(
                means={
                    size: float(np.mean([v for v, s in zip(values, sizes, strict=True) if s == size]))
                    for size in sorted(set(sizes))
                },
                noise=float(np.median(errors)),
                seed_spread=pooled_deviation(values, sizes),
                trend=trend,
            )
        )
    return tuple(sorted(rows, key=lambda row: SIGNATURE.index(row.trend.of.statistic)))


def pooled_deviation(values: Sequence[float], groups: Sequence[Hashable]) -> float:
    """`sqrt(sum over groups sum_i (y_i - mean_group)^2 / (n - number of groups))`.

    Args:
        values: of each run; those that are not finite are left out.
        groups: what the runs of one recipe share.

    Returns:
        NaN where no group has two runs.

    >>> pooled_deviation([1.0, 3.0, 5.0, 5.0], ["a", "a", "b", "b"])
    1.0
    """
    found: dict[Hashable, list[float]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        if math.isfinite(value):
            found[group].append(value)
    degrees = sum(len(members) - 1 for members in found.values())
    if not degrees:
        return math.nan
    squares = sum(float(((np.array(members) - np.mean(members)) ** 2).sum()) for members in found.values())
    return math.sqrt(squares / degrees)
