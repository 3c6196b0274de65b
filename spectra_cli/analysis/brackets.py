"""Where runs stand at equal loss, step or tokens: between which two checkpoints, and how far along.

See docs/explanation/comparing.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spectra_cli.core.errors import DataError
from spectra_cli.core.types import FloatArray

# Targets end this share of the common range of losses above the worst of the best losses.
COMMON_SHARE = 0.6
# Runs whose first losses are this close, in nats, start alike.
START_ALIKE = 0.01
# A third checkpoint this share of the bracket away, or further, tells how a number bends.
APART = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """A point between two checkpoints of a run.

    Attributes:
        before, after: their places in the run; equal at a checkpoint itself.
        share: u in [0, 1], how far from the first to the second.
        gap: half the distance of the quantity matched on (nats, steps or tokens) between them, at most
            what rounding to the nearer one would cost.
        third: another checkpoint, from which it is seen how numbers bend between the two; None without one.
        place: of the third, where `before` is at 0 and `after` at 1.
    """

    before: int
    after: int
    share: float
    gap: float
    third: int | None = None
    place: float = math.nan

    @property
    def nearer(self) -> int:
        """The place of the checkpoint that the point is nearer to."""
        return self.before if self.share < 0.5 else self.after

    def between(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Linear interpolation of a number, or of its replicates, of the two checkpoints."""
        point: FloatArray = (1.0 - self.share) * first + self.share * second
        return point

    def bend(self, first: FloatArray, second: FloatArray, third: FloatArray | None) -> FloatArray:
        """What interpolation may have got wrong: the parabola through the third checkpoint less the line.

        Without a third checkpoint, how far the nearer of the two is.
        """
        if third is None or self.third is None:
            to_nearer: FloatArray = (second - first) * min(self.share, 1.0 - self.share)
            return to_nearer
        slopes = second - first, (third - second) / (self.place - 1.0)
        curved: FloatArray = (slopes[1] - slopes[0]) / self.place * self.share * (self.share - 1.0)
        return curved


def best_so_far(losses: Sequence[float]) -> FloatArray:
    """Running minimum of the losses; checkpoints without a loss keep the minimum before them."""
    known = np.where(np.isfinite(losses), losses, np.inf)
    envelope: FloatArray = np.minimum.accumulate(known)
    return envelope


def at_loss(losses: Sequence[float], target: float) -> Bracket | None:
    """The first point at which a run's best loss so far reaches `target`; None if it never does.

    A spike downwards and back does not count against later checkpoints, since the envelope is
    monotone; a run that starts below the target has no point either: nothing is extrapolated.
    """
    envelope = best_so_far(losses)
    reached = np.flatnonzero(envelope <= target)
    if not reached.size:
        return None
    after = int(reached[0])
    if after == 0:
        return Bracket(before=0, after=0, share=0.0, gap=0.0) if envelope[0] == target else None
    # The checkpoint that holds the minimum so far, not a worse one since.
    before = int(np.flatnonzero(envelope == envelope[after - 1])[0])
    step = float(envelope[before] - envelope[after])
    if not np.isfinite(step):
        return None
    share = float((envelope[before] - target) / step)
    return Bracket(before=before, after=after, share=share, gap=step * min(share, 1.0 - share))


def at_position(positions: Sequence[float], target: float) -> Bracket | None:
    """The point at which a run is at a step or a number of tokens; None outside its range.

    Args:
        positions: of the checkpoints, ascending.
        target: in the same unit.
    """
    places = np.asarray(positions, dtype=float)
    after = int(np.searchsorted(places, target))
    if after == places.size or (after == 0 and places[0] != target):
        return None
    if places[after] == target:
        return Bracket(before=after, after=after, share=0.0, gap=0.0)
    step = float(places[after] - places[after - 1])
    share = float((target - places[after - 1]) / step)
    return Bracket(before=after - 1, after=after, share=share, gap=step * min(share, 1.0 - share))


def with_third(bracket: Bracket, values: FloatArray, preferred: Sequence[int]) -> Bracket:
    """The bracket with the nearest checkpoint that is far enough from both ends to show a bend.

    Args:
        bracket: between two checkpoints.
        values: what is matched on, at each checkpoint; NaN where it is unknown or not on the way.
        preferred: checkpoints that are read anyway; others are taken only where none of these will do.
    """
    if bracket.before == bracket.after or bracket.share in (0.0, 1.0):
        return bracket
    places = (values - values[bracket.before]) / (values[bracket.after] - values[bracket.before])
    away = np.maximum(places - 1.0, -places)
    for among in (preferred, range(len(values))):
        far = [index for index in among if away[index] >= APART]
        if far:
            third = min(far, key=lambda index: float(away[index]))
            return replace(bracket, third=third, place=float(places[third]))
    return bracket


def loss_targets(
    runs: Sequence[Sequence[float]], number: int = 5, *, untrained: Sequence[bool] | None = None
) -> FloatArray:
    """Losses at which all runs can be compared, from the last one they all reach upwards.

    A start that the runs share tells nothing of their difference: the first checkpoint of a run is left out
    where it is the untrained model, and of all runs where they start at the same loss.

    Args:
        runs: losses of each run in order.
        number: of targets; fewer than two checkpoints in a run leave one target, where they end.
        untrained: of each run, whether its first checkpoint is that of step 0; None for no run.

    Returns:
        (number,) ascending, equally spaced.

    Raises:
        DataError: the runs' losses do not overlap, with how far apart they are, and where `--at` would do.
    """
    known = [[loss for loss in run if np.isfinite(loss)] for run in runs]
    if not all(known):
        raise DataError(
            "a run has no finite loss: align by --align step or tokens, or give --loss another kind"
        )
    firsts = [run[0] for run in known]
    alike = max(firsts) - min(firsts) <= START_ALIKE
    left_out = [alike or one for one in untrained or [False] * len(known)]
    worst_end = max(min(run) for run in known)
    starts = [_start(run, begun=begun) for run, begun in zip(known, left_out, strict=True)]
    if min(starts) < worst_end:
        raise DataError(_no_common_loss(known, starts, left_out, worst_end))
    return np.linspace(worst_end, worst_end + COMMON_SHARE * (min(starts) - worst_end), number)


def _start(losses: Sequence[float], *, begun: bool) -> float:
    """The highest loss at which a run can be compared; `begun`: without its first checkpoint, if it can."""
    return float(best_so_far(losses)[1]) if begun and len(losses) > 1 else losses[0]


def _no_common_loss(
    known: Sequence[Sequence[float]], starts: Sequence[float], left_out: Sequence[bool], worst_end: float
) -> str:
    spans = "; ".join(f"{min(run):.4f} to {start:.4f}" for run, start in zip(known, starts, strict=True))
    after = ", without the start that they share," if any(left_out) else ""
    highest = min(run[0] for run in known)
    shared = (
        f"; with it they share {worst_end:.4f} to {highest:.4f}: --at {_number_inside(worst_end, highest)} "
        "compares them there, between their start and what follows"
        if highest >= worst_end
        else ""
    )
    return (
        f"the runs have no loss in common: they span{after} {spans}, {worst_end - min(starts):.4f} nats apart"
        f"{shared}; scan more checkpoints, or align by --align step or tokens"
    )


def _number_inside(lowest: float, highest: float) -> str:
    """The shortest number, of four decimals or more, that lies between; rounded to nearest it might not."""
    for decimals in range(4, 17):
        number = f"{math.ceil(lowest * 10**decimals) / 10**decimals:.{decimals}f}"
        if lowest <= float(number) <= highest:
            return number
    return repr(float(lowest))


def position_targets(runs: Sequence[Sequence[float]], number: int = 5) -> FloatArray:
    """Steps or tokens that all runs have been through, equally spaced, the last common one included.

    Raises:
        DataError: their ranges do not overlap.
    """
    first, last = max(min(run) for run in runs), min(max(run) for run in runs)
    if first > last:
        spans = "; ".join(f"{min(run):g} to {max(run):g}" for run in runs)
        raise DataError(f"the runs have no position in common: they span {spans}; align by --align loss")
    return np.linspace(last, last - COMMON_SHARE * (last - first), number)
