"""Phases of training from effective rank and alpha over tokens: turning points of a noisy path.

Source: specs H; the phases and their signs: arXiv 2509.23024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

SMALLEST_TURN = 0.03
MANY_CHECKPOINTS = 60
FEWEST_CHECKPOINTS = 8
SIGNIFICANT = 3.0
# A first contraction that ends before this share of the tokens is called warm-up.
WARMUP_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of training between two turning points.

    Attributes:
        first, last: checkpoints at its ends.
        earliest, latest: checkpoints between which its end lies; its neighbours.
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


def find_phases(
    tokens: Sequence[float],
    log_rank: Sequence[float],
    rank_stderr: Sequence[float],
    alpha: Sequence[float],
    alpha_stderr: Sequence[float],
) -> list[Segment]:
    """Segments between the turning points of log effective rank, each named by both signs.

    Args:
        tokens: seen at each checkpoint (or its step), ascending.
        log_rank: natural logarithm of RankMe; alpha: decay exponent; both with standard errors.

    Returns:
        In order; a single `flat` segment where nothing moved. At least two checkpoints are needed.
    """
    r, a = np.asarray(log_rank, dtype=float), np.asarray(alpha, dtype=float)
    r_error, a_error = np.asarray(rank_stderr, dtype=float), np.asarray(alpha_stderr, dtype=float)
    turns = turning_points(r, turn_height(r_error))
    segments: list[Segment] = []
    for first, last in pairwise(turns):
        rank_change, alpha_change = float(r[last] - r[first]), float(a[last] - a[first])
        rank_error = math.hypot(r_error[first], r_error[last])
        alpha_error = math.hypot(a_error[first], a_error[last])
        early = tokens[last] <= tokens[0] + WARMUP_SHARE * (tokens[-1] - tokens[0])
        segments.append(
            Segment(
                first=first,
                last=last,
                earliest=max(last - 1, first),
                latest=min(last + 1, r.size - 1),
                rank_change=rank_change,
                rank_stderr=rank_error,
                alpha_change=alpha_change,
                alpha_stderr=alpha_error,
                name=_name(
                    _sign(rank_change, rank_error),
                    _sign(alpha_change, alpha_error),
                    warmup=not segments and early,
                ),
            )
        )
    return segments


def turn_height(stderr: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """How far the path must come back before a turning point counts."""
    factor = 7.0 if stderr.size > MANY_CHECKPOINTS else 6.0
    known = stderr[np.isfinite(stderr)]
    noise = float(np.median(known)) if known.size else 0.0
    return max(factor * noise, SMALLEST_TURN)


def turning_points(path: np.ndarray[tuple[int], np.dtype[np.float64]], height: float) -> list[int]:
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


def _sign(change: float, stderr: float) -> int:
    if not math.isfinite(change) or (math.isfinite(stderr) and abs(change) < SIGNIFICANT * stderr):
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
