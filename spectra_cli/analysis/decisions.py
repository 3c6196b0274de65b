"""Whether a difference is larger than the measurement's own noise: different, equal or inconclusive.

A difference counts as found if it survives the Benjamini-Hochberg correction over everything that was
looked at and exceeds the probe floor, so that another probe of this size would show it too. Equality is
shown, never presumed: the 90 % interval of the difference must lie inside a margin.

Source: specs E5, E6, with two changes. The threshold is that of the correction, not a fixed |z| >= 3: three
standard errors would be found only half of the time. The probe floor is the standard error of an
unpaired difference from the block jackknife, where the specs take ten random halves: the same number,
with less scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import stdtr, stdtrit

from spectra_cli.core.types import FloatArray
from spectra_cli.statistics.jackknife import standard_error

FALSE_DISCOVERY_RATE = 0.05
EQUIVALENCE_LEVEL = 0.90


class Verdict(StrEnum):
    """What a comparison says about one number."""

    DIFFERENT = "different"
    EQUAL = "equal"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """A number with its delete-one-block values.

    Attributes:
        per_row: (1 + B,) the number, then without each block of the probe.
        block_sizes: (B,) samples a block.
    """

    per_row: FloatArray
    block_sizes: tuple[int, ...]

    @property
    def value(self) -> float:
        """On the whole probe."""
        return float(self.per_row[0])

    @property
    def stderr(self) -> float:
        """Jackknife standard error; NaN without blocks."""
        return standard_error(self.per_row, self.block_sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """B minus A in one number.

    Attributes:
        first, second: the number in A and in B; `delta`: B - A.
        stderr: of delta; paired (same probe: the blocks' common noise cancels) or not.
        floor: standard error of a difference between two independent probes of this size.
        degrees: of freedom of `stderr`.
        margin: of equivalence, in the number's own unit.
        p_value: two-sided, Student's t; `adjusted`: after the correction, NaN before it.
        verdict: after the correction.
    """

    first: float
    second: float
    delta: float
    stderr: float
    floor: float
    degrees: int
    paired: bool
    margin: float
    p_value: float
    adjusted: float = math.nan
    verdict: Verdict = Verdict.INCONCLUSIVE


def difference(first: Estimated, second: Estimated, *, paired: bool, margin: float) -> Difference:
    """B minus A with its standard error, not yet decided.

    Args:
        first, second: the number in A and in B.
        paired: both were measured on the same probe, dealt into the same blocks.
        margin: see `Difference`.
    """
    if paired and first.block_sizes != second.block_sizes:
        raise ValueError("numbers of different blocks cannot be paired")
    delta = second.value - first.value
    floor = math.hypot(first.stderr, second.stderr)
    stderr = standard_error(second.per_row - first.per_row, first.block_sizes) if paired else floor
    fewest = min(len(first.block_sizes), len(second.block_sizes))
    degrees = max(fewest - 1, 0) if paired else max(len(first.block_sizes) + len(second.block_sizes) - 2, 0)
    return Difference(
        first=first.value,
        second=second.value,
        delta=delta,
        stderr=stderr,
        floor=floor,
        degrees=degrees,
        paired=paired,
        margin=margin,
        p_value=_p_value(delta, stderr, degrees),
    )


def _p_value(delta: float, stderr: float, degrees: int) -> float:
    if not (math.isfinite(delta) and math.isfinite(stderr)) or degrees < 1:
        return math.nan
    if stderr == 0.0:
        return 1.0 if delta == 0.0 else 0.0
    return float(2 * stdtr(degrees, -abs(delta) / stderr))


def decide(differences: Sequence[Difference]) -> list[Difference]:
    """The same differences, with p-values corrected for their number, and verdicts.

    Those without a standard error are inconclusive, and do not count towards the number.
    """
    p_values = np.array([d.p_value for d in differences])
    known = np.isfinite(p_values)
    adjusted = np.full(p_values.size, np.nan)
    if known.any():
        adjusted[known] = benjamini_hochberg(p_values[known])
    return [_decided(d, float(a)) for d, a in zip(differences, adjusted, strict=True)]


def _decided(found: Difference, adjusted: float) -> Difference:
    # `dataclasses.replace` takes ten times as long, and there are thousands
    return Difference(
        first=found.first,
        second=found.second,
        delta=found.delta,
        stderr=found.stderr,
        floor=found.floor,
        degrees=found.degrees,
        paired=found.paired,
        margin=found.margin,
        p_value=found.p_value,
        adjusted=adjusted,
        verdict=_verdict(found, adjusted),
    )


def benjamini_hochberg(p_values: FloatArray) -> FloatArray:
    """p-values corrected for their number: at most this share of the findings up to each one is false.

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    order = np.argsort(p_values)[::-1]
    ratio = p_values.size / np.arange(p_values.size, 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.minimum.accumulate(p_values[order] * ratio), 1.0)
    return adjusted


def _verdict(found: Difference, adjusted: float) -> Verdict:
    if math.isnan(adjusted):
        return Verdict.INCONCLUSIVE
    if adjusted <= FALSE_DISCOVERY_RATE and abs(found.delta) >= found.floor and found.delta != 0.0:
        return Verdict.DIFFERENT
    reach = abs(found.delta) + float(stdtrit(found.degrees, 0.5 + EQUIVALENCE_LEVEL / 2)) * found.stderr
    return Verdict.EQUAL if reach < found.margin else Verdict.INCONCLUSIVE


def sequences_needed(found: Difference, num_sequences: int) -> int | None:
    """Probe size at which this difference would reach three standard errors; None without one to go by."""
    if found.delta == 0.0 or not math.isfinite(found.stderr):
        return None
    return math.ceil(num_sequences * (3 * found.stderr / found.delta) ** 2)
