"""Whether a difference is larger than the measurement's own noise: different, equal or inconclusive.

A difference counts as found if it survives the Benjamini-Hochberg correction over everything that was
looked at and exceeds the probe floor, so that another probe of this size would show it too. Equality is
shown, never presumed: the 90 % interval of the difference must lie inside a margin. What interpolation
between checkpoints may have got wrong counts against both: the difference is judged less that much, and the
interval is as much wider.

See docs/explanation/comparing.md.
The threshold is that of the correction, not a fixed |z| >= 3: three standard
errors would be found only half of the time. The probe floor is the standard error of an
unpaired difference from the block jackknife, not from ten random halves: the same number,
with less scatter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import stdtr, stdtrit

from spectra_cli.analysis.estimates import Estimated, EstimatedStack, interpolation_errors, loss_errors
from spectra_cli.core.types import FloatArray
from spectra_cli.statistics.jackknife import standard_errors

FALSE_DISCOVERY_RATE = 0.05
EQUIVALENCE_LEVEL = 0.90


class Verdict(StrEnum):
    """What a comparison says about one number."""

    DIFFERENT = "different"
    EQUAL = "equal"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """B minus A in one number.

    Attributes:
        first, second: the number in A and in B, NaN of a distance; `delta`: B - A.
        stderr: of delta; paired (same probe: the blocks' common noise cancels) or not.
        floor: standard error of a difference between two independent probes of this size.
        degrees: of freedom of `stderr`.
        margin: of equivalence, in the number's own unit.
        p_value: two-sided, Student's t, of what is left of delta beyond `interpolated`.
        adjusted: the same after the correction, NaN before it; `num_compared`: numbers it was made for.
        interpolated: what interpolation between checkpoints may have added to delta.
        verdict: after the correction.
    """

    delta: float
    paired: bool
    margin: float
    first: float = math.nan
    second: float = math.nan
    stderr: float = math.nan
    floor: float = math.nan
    degrees: int = 0
    p_value: float = math.nan
    interpolated: float = 0.0
    adjusted: float = math.nan
    num_compared: int = 0
    verdict: Verdict = Verdict.INCONCLUSIVE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One number in A and in B.

    Attributes:
        paired: both were measured on the same probe, dealt into the same blocks.
        margin: see `Difference`.
    """

    first: Estimated
    second: Estimated
    paired: bool
    margin: float


def differences(cases: Sequence[Case]) -> list[Difference]:
    """B minus A with its standard error, not yet decided, of each case.

    There are thousands: those that are made of the same blocks are worked out together.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, case in enumerate(cases):
        runs = case.first, case.second
        blocks = [(one.block_sizes, one.loss_sizes) for one in runs]
        if case.paired and runs[0].block_sizes != runs[1].block_sizes:
            raise ValueError("numbers of different blocks cannot be paired")
        alike.setdefault((case.paired, *blocks), []).append(place)
    found: dict[int, Difference] = {}
    for places in alike.values():
        found |= zip(places, _of_same_blocks([cases[place] for place in places]), strict=True)
    return [found[place] for place in range(len(cases))]


def _of_same_blocks(cases: Sequence[Case]) -> Iterator[Difference]:
    first, second = (
        EstimatedStack.of(ones) for ones in ([c.first for c in cases], [c.second for c in cases])
    )
    paired, signs = cases[0].paired, (-1.0, 1.0)
    delta = second.per_row[:, 0] - first.per_row[:, 0]
    floor = stderr = np.hypot(first.stderr, second.stderr)
    blocks = len(first.block_sizes), len(second.block_sizes)
    degrees = max(sum(blocks) - 2, 0)
    if paired:
        own = standard_errors(second.per_row - first.per_row, first.block_sizes)
        stderr = np.hypot(own, loss_errors([first, second], signs))
        degrees = max(blocks[0] - 1, 0)
    interpolated = interpolation_errors([first, second], signs)
    p_value = _p_values(np.maximum(abs(delta) - interpolated, 0.0), stderr, degrees)
    columns = (delta, stderr, floor, p_value, interpolated)
    for case, *numbers in zip(cases, *(column.tolist() for column in columns), strict=True):
        yield Difference(
            first=case.first.value,
            second=case.second.value,
            delta=numbers[0],
            stderr=numbers[1],
            floor=numbers[2],
            degrees=degrees,
            paired=paired,
            margin=case.margin,
            p_value=numbers[3],
            interpolated=numbers[4],
        )


def _p_values(sizes: FloatArray, stderr: FloatArray, degrees: int) -> FloatArray:
    """(N,) two-sided; NaN where a size or its error is unknown."""
    known = np.isfinite(sizes) & np.isfinite(stderr) & (degrees >= 1)
    certain = stderr == 0.0
    p_values = 2 * stdtr(degrees, -sizes / np.where(certain, 1.0, stderr))
    p_values = np.where(certain, np.where(sizes == 0.0, 1.0, 0.0), p_values)
    return np.where(known, p_values, np.nan)


def decide(differences: Sequence[Difference]) -> list[Difference]:
    """The same differences, with p-values corrected for their number, and verdicts.

    Those without a standard error are inconclusive, and do not count towards the number.
    """
    p_values = np.array([d.p_value for d in differences])
    adjusted = benjamini_hochberg(p_values)
    number = int(np.isfinite(p_values).sum())
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

    Those that are not known are NaN, and not counted.

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known])[::-1]]
    ratio = order.size / np.arange(order.size, 0, -1)
    adjusted = np.full(p_values.shape, np.nan)
    adjusted[order] = np.minimum(np.minimum.accumulate(p_values[order] * ratio), 1.0)
    return adjusted


def exceeds_floor(found: Difference) -> bool:
    """Whether the difference is at least its noise floor; False without one."""
    return found.delta != 0.0 and abs(found.delta) >= found.floor


def survives_correction(found: Difference) -> bool:
    """Whether chance on this probe is ruled out, whatever else was compared; False if unknown."""
    return found.adjusted <= FALSE_DISCOVERY_RATE


def _verdict(found: Difference, adjusted: float) -> Verdict:
    if math.isnan(adjusted):
        return Verdict.INCONCLUSIVE
    if adjusted <= FALSE_DISCOVERY_RATE and exceeds_floor(found):
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
