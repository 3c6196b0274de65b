"""How numbers move with the batch size of the runs, at equal loss: slope a doubling, with its interval.

    y_i = a + b log2(batch_i) + e_i,   b = sum_i w_i y_i,   w_i = (x_i - mean x) / S_xx

The slope is uncertain twice: the runs scatter about the line (seeds, everything else that differs; n - 2
degrees of freedom), and each number is measured on a finite probe. On one probe, dealt into the same
blocks, the second part is the jackknife of the slope itself, so that noise common to the runs cancels.
The interval `sqrt((t_scatter SE_scatter)^2 + (t_noise SE_noise)^2)` covers at least as often as it says,
also with one degree of freedom; the scatter holds part of the measurement noise already, which widens it.
What interpolation between checkpoints may have added to the slope widens it again, whatever the p-value.

See docs/explanation/comparing.md.
The interval: S. K. Banerjee, "Approximate confidence interval for linear functions
of means of k populations when the population variances are not equal", Sankhya 22 (1960).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.special import stdtrit

from spectra_cli.analysis.batch_size.across_runs import AcrossRuns
from spectra_cli.analysis.compare.decisions import EQUIVALENCE_LEVEL, FALSE_DISCOVERY_RATE, benjamini_hochberg
from spectra_cli.analysis.estimates import interpolation_error, loss_error
from spectra_cli.core.measurements import EXACT
from spectra_cli.core.types import CheckpointInfo, FloatArray
from spectra_cli.core.words.plurals import agreed
from spectra_cli.statistics.jackknife import standard_error

FEWEST_SIZES = 3
CONFIDENCE = 0.95
# Below this p-value nothing is told apart; it bounds the search.
_SMALLEST_P = 1e-16
_BISECTIONS = 36
_FACTS = {
    "learning_rate": "learning rate",
    "num_parameters": "number of parameters",
    "architecture": "architecture",
}


class Direction(StrEnum):
    """Where a number goes as the batch grows."""

    RISING = "rising"
    FALLING = "falling"
    FLAT = "flat"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTrend:
    """The trend of one number with log2 of the batch size.

    Attributes:
        of: the number in every run.
        num_runs: runs that have the number.
        slope: a doubling of the batch; NaN, as all that follows from it, with fewer than three sizes.
        scatter: standard error of the slope from the runs' distance to the line, `degrees` of freedom.
        noise: standard error of the slope from the probe's blocks, `noise_degrees` of freedom; NaN for
            weights, which are not measured on a probe, and then left out; NaN also where it is not known, and
            then nothing follows from the slope.
        floor: the noise, had every run its own probe: smaller slopes may vanish on another probe.
        interpolated: what interpolation between checkpoints may have added to the slope.
        doublings: from the smallest to the largest batch.
        low, high: 95 % interval of the slope.
        order: of the means at each size: rising or falling at every step; None where not monotone.
        p_value: two-sided, at which the interval would end at zero; `adjusted`: after the correction.
        verdict: rising or falling after the correction; flat where the 90 % interval of the change over
            all sizes lies inside the margin; else inconclusive.
    """

    of: AcrossRuns
    num_runs: int
    slope: float = math.nan
    scatter: float = math.nan
    noise: float = math.nan
    floor: float = math.nan
    degrees: int = 0
    noise_degrees: int = 0
    doublings: float = math.nan
    interpolated: float = 0.0
    low: float = math.nan
    high: float = math.nan
    order: Direction | None = None
    p_value: float = math.nan
    adjusted: float = math.nan
    verdict: Direction = Direction.INCONCLUSIVE

    @property
    def stderr(self) -> float:
        """Both parts together."""
        return math.hypot(self.scatter, self.probe_noise)

    @property
    def probe_noise(self) -> float:
        """The noise of the probe: none where there is no probe, NaN where it is unknown."""
        return 0.0 if self.of.measurement in EXACT else self.noise


def why_no_trend(batch_sizes: Sequence[int | None]) -> str:
    """Why these runs show no trend with batch size, in one sentence; empty if they can.

    >>> why_no_trend([8, 8, 16])
    '2 batch sizes (8, 16 tokens) among 3 runs; a trend needs runs of at least 3 sizes'
    """
    sizes = sorted({size for size in batch_sizes if size is not None})
    if any(size is None for size in batch_sizes):
        missing = sum(size is None for size in batch_sizes)
        return (
            f"{missing} of {len(batch_sizes)} runs "
            f"{agreed(missing, 'does not say its', 'do not say their')} batch size; "
            "give `batch_size_tokens` in run.toml and scan again"
        )
    if len(sizes) < FEWEST_SIZES:
        listed = ", ".join(str(size) for size in sizes)
        return (
            f"{len(sizes)} batch size{'s' * (len(sizes) != 1)} ({listed} tokens) among "
            f"{len(batch_sizes)} runs; a trend needs runs of at least {FEWEST_SIZES} sizes"
        )
    return ""


def caveats(infos: Sequence[CheckpointInfo]) -> tuple[str, ...]:
    """What else differs between the runs, and what their number allows; one checkpoint of each run."""
    found = [
        f"the runs differ in {words} too: a trend with batch size may be one with {words}"
        for name, words in _FACTS.items()
        if len({getattr(info, name) for info in infos}) > 1
    ]
    degrees = len(infos) - 2
    reach = float(stdtrit(degrees, 0.5 + CONFIDENCE / 2))
    found.append(
        f"{len(infos)} runs leave {degrees} degree{'s' * (degrees != 1)} of freedom: the interval reaches "
        f"{reach:.1f} standard errors of the scatter either way"
        + (f" (five runs: {float(stdtrit(3, 0.5 + CONFIDENCE / 2)):.1f})" if degrees < 3 else "")
    )
    return tuple(found)


def batch_trends(
    numbers: Sequence[AcrossRuns], batch_sizes: Sequence[int], *, paired: bool
) -> list[BatchTrend]:
    """The trend of each number, with verdicts corrected for how many there are (Benjamini-Hochberg).

    Args:
        numbers: at all sites, statistics and aligned points looked at.
        batch_sizes: tokens of one optimiser step, of each run; runs of one size are replicates.
        paired: all runs were measured on the same probe, dealt into the same blocks.

    Returns:
        As many, in the same order; those of fewer than three sizes are inconclusive, and not counted.
    """
    x = np.log2(np.asarray(batch_sizes, dtype=float))
    found = [_trend(number, x, paired=paired) for number in numbers]
    if not found:
        return []
    errors = _Errors.of(found)
    p_values = errors.p_values(np.array([abs(t.slope) for t in found]))
    adjusted = benjamini_hochberg(p_values)
    reach, inner = errors.reach(1 - CONFIDENCE), errors.reach(1 - EQUIVALENCE_LEVEL)
    return [
        replace(
            t,
            low=t.slope - float(reach[i]),
            high=t.slope + float(reach[i]),
            p_value=float(p_values[i]),
            adjusted=float(adjusted[i]),
            verdict=_verdict(t, float(adjusted[i]), float(inner[i])),
        )
        for i, t in enumerate(found)
    ]


def _trend(number: AcrossRuns, x: FloatArray, *, paired: bool) -> BatchTrend:
    """Slope and its two standard errors, not yet decided."""
    kept = [i for i, run in enumerate(number.runs) if run is not None and math.isfinite(run.value)]
    runs = [run for i in kept if (run := number.runs[i]) is not None]
    x = x[kept]
    if np.unique(x).size < FEWEST_SIZES:
        return BatchTrend(of=number, num_runs=len(kept))
    y = np.array([run.value for run in runs])
    centred = x - x.mean()
    weights = centred / (centred @ centred)
    # relative to the first run: equal numbers then have a slope of exactly zero
    slope = float(weights @ (y - y[0]))
    residuals = y - y.mean() - slope * centred
    degrees = y.size - 2
    # what rounding leaves of an exact line is no scatter
    residuals[np.abs(residuals) < 8 * np.finfo(float).eps * np.abs(y).max()] = 0.0
    floor = math.sqrt(float(weights**2 @ np.array([run.stderr for run in runs]) ** 2))
    noise, noise_degrees = floor, sum(len(run.block_sizes) - 1 for run in runs)
    if paired and len({run.block_sizes for run in runs}) == 1 and runs[0].block_sizes:
        rows: FloatArray = weights @ np.array([run.per_row for run in runs])
        noise = math.hypot(standard_error(rows, runs[0].block_sizes), loss_error(runs, weights.tolist()))
        noise_degrees = len(runs[0].block_sizes) - 1
    return BatchTrend(
        of=number,
        num_runs=y.size,
        slope=slope,
        scatter=math.sqrt(float(residuals @ residuals) / degrees / float(centred @ centred)),
        noise=noise,
        floor=floor,
        degrees=degrees,
        noise_degrees=max(noise_degrees, 0),
        doublings=float(x.max() - x.min()),
        interpolated=interpolation_error(runs, weights.tolist()),
        order=_order(x, y),
    )


def _order(x: FloatArray, y: FloatArray) -> Direction | None:
    steps = np.diff([y[x == size].mean() for size in np.unique(x)])
    if (steps > 0).all():
        return Direction.RISING
    return Direction.FALLING if (steps < 0).all() else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Errors:
    """Both standard errors of each slope, (n,), with their degrees of freedom, and its interpolation."""

    scatter: FloatArray
    noise: FloatArray
    degrees: FloatArray
    noise_degrees: FloatArray
    interpolated: FloatArray

    @classmethod
    def of(cls, found: Sequence[BatchTrend]) -> _Errors:
        return cls(
            scatter=np.array([t.scatter for t in found]),
            noise=np.array([t.probe_noise for t in found]),
            degrees=np.array([max(t.degrees, 1) for t in found], dtype=float),
            noise_degrees=np.array([max(t.noise_degrees, 1) for t in found], dtype=float),
            interpolated=np.array([t.interpolated for t in found]),
        )

    def reach(self, p_values: FloatArray | float) -> FloatArray:
        """Half-width of the interval that covers `1 - p`."""
        # of the lower tail, where small p keep their digits
        below = np.asarray(p_values) / 2
        reach: FloatArray = self.interpolated + np.hypot(
            stdtrit(self.degrees, below) * self.scatter, stdtrit(self.noise_degrees, below) * self.noise
        )
        return reach

    def p_values(self, slopes: FloatArray) -> FloatArray:
        """The p at which each interval would just reach zero, by bisection of its logarithm."""
        low, high = np.full(slopes.size, math.log(_SMALLEST_P)), np.zeros(slopes.size)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            too_wide = self.reach(np.exp(middle)) > slopes
            low, high = np.where(too_wide, middle, low), np.where(too_wide, high, middle)
        exact = (self.scatter == 0.0) & (self.noise == 0.0)
        found: FloatArray = np.where(exact, (slopes <= self.interpolated).astype(float), np.exp(high))
        return np.where(np.isnan(slopes + self.noise), np.nan, found)


def _verdict(trend: BatchTrend, adjusted: float, inner: float) -> Direction:
    if math.isnan(adjusted):
        return Direction.INCONCLUSIVE
    beyond = not abs(trend.slope) < trend.floor
    if adjusted <= FALSE_DISCOVERY_RATE and beyond and trend.slope != 0.0:
        return Direction.RISING if trend.slope > 0 else Direction.FALLING
    within = trend.doublings * (abs(trend.slope) + inner) < trend.of.margin
    return Direction.FLAT if within else Direction.INCONCLUSIVE
