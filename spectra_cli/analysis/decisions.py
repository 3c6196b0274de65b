"""Whether a difference is larger than the measurement's own noise: different, equal or inconclusive.

A difference counts as found if it survives the Benjamini-Hochberg correction over everything that was
looked at and exceeds the probe floor, so that another probe of this size would show it too. Equality is
shown, never presumed: the 90 % interval of the difference must lie inside a margin. What interpolation
between checkpoints may have got wrong counts against both: the difference is judged less that much, and the
interval is as much wider.

Source: specs E5, E6, with two changes. The threshold is that of the correction, not a fixed |z| >= 3: three
standard errors would be found only half of the time. The probe floor is the standard error of an
unpaired difference from the block jackknife, where the specs take ten random halves: the same number,
with less scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
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
        loss_rows: (1 + L,) the change of the number as the loss moves the point without each block of it, the
            first 0; empty where the loss has the same blocks, and `per_row` holds that change, or no noise.
        loss_sizes: (L,) samples in each block of the loss.
        bend: what interpolation between checkpoints got wrong, as a third one tells, with its sign.
        unbent: how much it may have got wrong where there is no third one, without a sign.
    """

    per_row: FloatArray
    block_sizes: tuple[int, ...]
    loss_rows: FloatArray = field(default_factory=lambda: np.empty(0))
    loss_sizes: tuple[int, ...] = ()
    bend: float = 0.0
    unbent: float = 0.0

    @property
    def value(self) -> float:
        """On the whole probe."""
        return float(self.per_row[0])

    @property
    def stderr(self) -> float:
        """Jackknife standard error; NaN without blocks."""
        return math.hypot(standard_error(self.per_row, self.block_sizes), loss_error([self], [1.0]))


def loss_error(numbers: Sequence[Estimated], weights: Sequence[float]) -> float:
    """Standard error of a sum of numbers from losses whose blocks are not those of the numbers.

    Common noise of losses with the same blocks cancels, as that of the numbers does.
    """
    moved = [(w, one) for w, one in zip(weights, numbers, strict=True) if one.loss_rows.size]
    if not moved:
        return 0.0
    if len({one.loss_sizes for _, one in moved}) == 1:
        rows: FloatArray = np.sum([w * one.loss_rows for w, one in moved], axis=0)
        return standard_error(rows, moved[0][1].loss_sizes)
    return math.hypot(*(abs(w) * standard_error(one.loss_rows, one.loss_sizes) for w, one in moved))


def interpolation_error(numbers: Sequence[Estimated], weights: Sequence[float]) -> float:
    """What interpolation may have added to a sum of numbers: runs that bend alike are off alike."""
    pairs = list(zip(weights, numbers, strict=True))
    return abs(sum(w * one.bend for w, one in pairs)) + sum(abs(w) * one.unbent for w, one in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """B minus A in one number.

    Attributes:
        first, second: the number in A and in B; `delta`: B - A.
        stderr: of delta; paired (same probe: the blocks' common noise cancels) or not.
        floor: standard error of a difference between two independent probes of this size.
        degrees: of freedom of `stderr`.
        margin: of equivalence, in the number's own unit.
        p_value: two-sided, Student's t, of what is left of delta beyond `interpolated`.
        adjusted: the same after the correction, NaN before it; `num_compared`: numbers it was made for.
        interpolated: what interpolation between checkpoints may have added to delta.
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
    interpolated: float = 0.0
    adjusted: float = math.nan
    num_compared: int = 0
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
    floor = stderr = math.hypot(first.stderr, second.stderr)
    if paired:
        own = standard_error(second.per_row - first.per_row, first.block_sizes)
        stderr = math.hypot(own, loss_error([first, second], [-1.0, 1.0]))
    fewest = min(len(first.block_sizes), len(second.block_sizes))
    degrees = max(fewest - 1, 0) if paired else max(len(first.block_sizes) + len(second.block_sizes) - 2, 0)
    interpolated = interpolation_error([first, second], [-1.0, 1.0])
    return Difference(
        first=first.value,
        second=second.value,
        delta=delta,
        stderr=stderr,
        floor=floor,
        degrees=degrees,
        paired=paired,
        margin=margin,
        p_value=_p_value(max(abs(delta) - interpolated, 0.0), stderr, degrees),
        interpolated=interpolated,
    )


def _p_value(size: float, stderr: float, degrees: int) -> float:
    if not (math.isfinite(size) and math.isfinite(stderr)) or degrees < 1:
        return math.nan
    if stderr == 0.0:
        return 1.0 if size == 0.0 else 0.0
    return float(2 * stdtr(degrees, -size / stderr))


def decide(differences: Sequence[Difference]) -> list[Difference]:
    """The same differences, with p-values corrected for their number, and verdicts.

    Those without a standard error are inconclusive, and do not count towards the number.
    """
    p_values = np.array([d.p_value for d in differences])
    known = np.isfinite(p_values)
    adjusted = np.full(p_values.size, np.nan)
    if known.any():
        adjusted[known] = benjamini_hochberg(p_values[known])
    number = int(known.sum())
    return [_decided(d, float(a), number) for d, a in zip(differences, adjusted, strict=True)]


def _decided(found: Difference, adjusted: float, num_compared: int) -> Difference:
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
        interpolated=found.interpolated,
        adjusted=adjusted,
        num_compared=num_compared,
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
    return Verdict.EQUAL if reach(found) < found.margin else Verdict.INCONCLUSIVE


def reach(found: Difference) -> float:
    """How far apart the two numbers may be: the end of the 90 % interval, with the interpolation."""
    return abs(found.delta) + found.interpolated + _half_width(found)


def _half_width(found: Difference) -> float:
    return float(stdtrit(found.degrees, 0.5 + EQUIVALENCE_LEVEL / 2)) * found.stderr


def sequences_to_differ(found: Difference, num_sequences: int) -> int | None:
    """Probe size at which a difference of this size counts, whatever else is compared with it.

    There its p-value survives the correction alone, and it exceeds the probe floor; by luck of the new probe,
    half of the time. None where no probe is large enough, or nothing tells.
    """
    beyond = abs(found.delta) - found.interpolated
    if not (beyond > 0.0 and math.isfinite(found.stderr)) or found.degrees < 1:
        return None
    alone = FALSE_DISCOVERY_RATE / max(found.num_compared, 1)
    errors = -float(stdtrit(found.degrees, alone / 2))
    return math.ceil(num_sequences * max(errors * found.stderr / beyond, found.floor / abs(found.delta)) ** 2)


def sequences_to_equal(found: Difference, num_sequences: int) -> int | None:
    """Probe size at which the interval of this difference would fit into its margin; None if it never can."""
    room = found.margin - abs(found.delta) - found.interpolated
    if not (room > 0 and math.isfinite(found.stderr)) or found.degrees < 1:
        return None
    return math.ceil(num_sequences * (_half_width(found) / room) ** 2)
