"""Phases of training from effective rank and alpha over tokens: turning points of a noisy path.

See docs/how-to/find-phases.md.
The phases and their signs: arXiv 2509.23024; where an extreme may lie: S. Gupta, "On some
multiple decision (selection and ranking) rules", Technometrics 7 (1965).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import stdtrit

from spectra_cli.analysis.estimates import Estimated
from spectra_cli.core.types import FloatArray
from spectra_cli.statistics.jackknife import standard_error

SMALLEST_TURN = 0.03
MANY_CHECKPOINTS = 60
FEWEST_CHECKPOINTS = 8
SIGNIFICANT = 3.0
# A first contraction that ends before this share of the tokens is called warm-up.
WARMUP_SHARE = 0.1
BOUNDARY_LEVEL = 0.95
# Of errors that are known and not estimated from blocks: Student's t is the normal.
_MANY_DEGREES = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of training between two turning points.

    Attributes:
        first, last: checkpoints at its ends.
        earliest, latest: checkpoints between which its end lies, as in `boundary`.
        rank_change, rank_stderr: of log effective rank, end minus start.
        alpha_change, alpha_stderr: of the decay exponent.
        name: `warmup`, `entropy-seeking`, `compression-seeking`, `discordant` or `flat`.
    """

    first: int
    last: int
    earliest: int
    latest: int
    rank_change: float
    rank_stderr: float
    alpha_change: float
    alpha_stderr: float
    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Path:
    """One number over the checkpoints, with what the error of a change of it needs.

    Attributes:
        values: (n,).
        stderrs: (n,) of each value by itself; NaN where unknown.
        estimates: (n,) delete-one-block values, or empty. The probe is the same at every checkpoint, so
            that most of its noise cancels in a change; without them the two errors are added in squares.
    """

    values: FloatArray
    stderrs: FloatArray
    estimates: tuple[Estimated, ...] = ()

    @classmethod
    def of(cls, estimates: Sequence[Estimated]) -> Path:
        """The path of numbers that were measured on one probe."""
        return cls(
            values=np.array([e.value for e in estimates]),
            stderrs=np.array([e.stderr for e in estimates]),
            estimates=tuple(estimates),
        )

    def change_stderr(self, first: int, last: int) -> float:
        """Standard error of the change from one checkpoint to another."""
        if self.estimates:
            before, after = self.estimates[first], self.estimates[last]
            if before.block_sizes == after.block_sizes and len(before.block_sizes) > 1:
                return standard_error(after.per_row - before.per_row, before.block_sizes)
        return math.hypot(self.stderrs[first], self.stderrs[last])

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the error of a change."""
        return len(self.estimates[0].block_sizes) - 1 if self.estimates else _MANY_DEGREES

    def noise(self) -> float:
        """What a checkpoint scatters against its neighbours: median error of a step, over sqrt 2; NaN where
        no step has an error.
        """
        steps = np.array([self.change_stderr(i, i + 1) for i in range(self.values.size - 1)])
        known = steps[np.isfinite(steps)]
        return float(np.median(known)) / math.sqrt(2.0) if known.size else math.nan


def find_phases(
    tokens: Sequence[float], log_rank: Path, alpha: Path, *, warmup_until: float | None = None
) -> list[Segment]:
    """Segments between the turning points of log effective rank, each named by both signs.

    Args:
        tokens: seen at each checkpoint (or its step), ascending.
        log_rank: natural logarithm of RankMe; alpha: decay exponent.
        warmup_until: tokens at which the learning rate has risen to its peak, where known; a contraction
            that ends by then is warm-up, as is one that ends in the first tenth of training, counted from 0.

    Returns:
        In order; a single `flat` segment where nothing moved. A change without a standard error has no
        sign. At least two checkpoints are needed.
    """
    turns = turning_points(log_rank.values, turn_height(log_rank.noise(), log_rank.values.size))
    until = max(WARMUP_SHARE * tokens[-1], warmup_until or 0.0)
    segments: list[Segment] = []
    for place, (first, last) in enumerate(pairwise(turns), 1):
        earliest, latest = boundary(log_rank, turns, place)
        rank_change, rank_error = _change(log_rank, first, last)
        alpha_change, alpha_error = _change(alpha, first, last)
        warmup = not segments and tokens[last] <= until
        segments.append(
            Segment(
                first=first,
                last=last,
                earliest=earliest,
                latest=latest,
                rank_change=rank_change,
                rank_stderr=rank_error,
                alpha_change=alpha_change,
                alpha_stderr=alpha_error,
                name=_name(_sign(rank_change, rank_error), _sign(alpha_change, alpha_error), warmup=warmup),
            )
        )
    return segments


def _change(path: Path, first: int, last: int) -> tuple[float, float]:
    return float(path.values[last] - path.values[first]), path.change_stderr(first, last)


def turn_height(noise: float, num_checkpoints: int) -> float:
    """How far the path must come back before a turning point counts.

    Args:
        noise: of one checkpoint; NaN where unknown: then no turning point can be told from it.
        num_checkpoints: the more there are, the more often noise alone comes back far.
    """
    if math.isnan(noise):
        return math.inf
    return max((7.0 if num_checkpoints > MANY_CHECKPOINTS else 6.0) * noise, SMALLEST_TURN)


def turning_points(path: FloatArray, height: float) -> list[int]:
    """First and last place, and every extreme from which the path came back by at least `height`.

    >>> turning_points(np.array([0.0, 1.0, 2.0, 1.9, 0.5, 0.0]), 1.0)
    [0, 2, 5]
    """
    turns = [0]
    lowest = highest = 0
    direction = 0
    for place in range(1, path.size):
        lowest = place if path[place] < path[lowest] else lowest
        highest = place if path[place] > path[highest] else highest
        if direction >= 0 and path[highest] - path[place] >= height:
            # where the path has not moved by `height` before, it starts here
            turns += [highest] * (direction == 1)
            direction, lowest, highest = -1, place, place
        elif direction <= 0 and path[place] - path[lowest] >= height:
            turns += [lowest] * (direction == -1)
            direction, lowest, highest = 1, place, place
    turns.append(path.size - 1)
    return sorted(set(turns))


def boundary(path: Path, turns: Sequence[int], place: int) -> tuple[int, int]:
    """Checkpoints between which the true extreme at `turns[place]` lies, at `BOUNDARY_LEVEL`.

    Every checkpoint between the neighbouring turns may be the extreme, unless its value lies further off than
    noise explains. The true one is dropped with probability `1 - BOUNDARY_LEVEL` at most, whatever the
    path's shape (Bonferroni over the checkpoints, Student's t). Since the path goes on between checkpoints,
    those around these are the answer. The run's last checkpoint is its end for certain.
    """
    turn = turns[place]
    if place == len(turns) - 1:
        return turn, turn
    stretch = range(turns[place - 1], turns[place + 1] + 1)
    bound = float(stdtrit(path.degrees, 1 - (1 - BOUNDARY_LEVEL) / (len(stretch) - 1)))
    depths = {j: abs(path.values[turn] - path.values[j]) for j in stretch}
    # without an error nothing can be told apart
    possible = [j for j, depth in depths.items() if not depth > bound * path.change_stderr(j, turn)]
    return max(possible[0] - 1, stretch[0]), min(possible[-1] + 1, stretch[-1])


def _sign(change: float, stderr: float) -> int:
    if not math.isfinite(change) or not math.isfinite(stderr) or abs(change) < SIGNIFICANT * stderr:
        return 0
    return int(np.sign(change))


def _name(rank: int, alpha: int, *, warmup: bool) -> str:
    if rank == 0:
        return "flat"
    if rank == alpha or alpha == 0:
        return "discordant"
    if rank > 0:
        return "entropy-seeking"
    return "warmup" if warmup else "compression-seeking"
