"""At which points runs are compared: equal loss, step or tokens, and where each run stands there.

See docs/explanation/comparing.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spectra_cli.analysis.brackets import (
    Bracket,
    at_loss,
    at_position,
    best_so_far,
    loss_targets,
    position_targets,
    with_third,
)
from spectra_cli.analysis.run import Axis, Loss, Run
from spectra_cli.core.errors import DataError
from spectra_cli.core.types import FloatArray

# Losses that are further apart are not called matched.
MATCHED_WITHIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one run stands at a point.

    Attributes:
        bracket: the checkpoints around it.
        gap: how far the run is from the target there, in the unit of the axis: 0 where it is interpolated.
    """

    bracket: Bracket
    gap: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedPoint:
    """Every run at one target; `places` in the order of the runs."""

    target: float
    places: tuple[Place, ...]

    @property
    def gap(self) -> float:
        """Largest distance of a run from the target."""
        return max(place.gap for place in self.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """The points at which runs are compared.

    Attributes:
        axis: what is equal; `loss`: which one, None on another axis.
        points: in training order, the last one last.
        notes: what a reader must know about it.
    """

    axis: Axis
    loss: Loss | None
    points: tuple[AlignedPoint, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def is_matched(self) -> bool:
        """Whether the runs stand close enough together for the word; on steps and tokens, exactly."""
        within = MATCHED_WITHIN if self.axis is Axis.LOSS else 0.0
        return all(point.gap <= within for point in self.points)


def align(
    runs: Sequence[Run],
    axis: Axis,
    *,
    loss: Loss | None = None,
    number: int = 5,
    at: Sequence[float] | None = None,
) -> Alignment:
    """The points at which all runs can be compared.

    A run of several checkpoints is interpolated; one of a single checkpoint stands where it stands, all
    others are brought as close to it as they come, and the gap is kept.

    Args:
        runs: two or more.
        axis: what to make equal.
        loss: which one; None for the first of probe, validation and train that all runs have.
        number: of points, equally spaced.
        at: the points themselves, instead.

    Raises:
        DataError: the runs have no common range, or do not say what they are to be aligned on.
    """
    axis = Axis(axis)  # a caller may give the word
    kind = _loss_of_all(runs, loss) if axis is Axis.LOSS else None
    values = [_values(run, axis, kind) for run in runs]
    lone = [i for i, one in enumerate(values) if np.isfinite(one).sum() == 1]
    if at is not None:
        targets = np.array(at, dtype=float)
    elif lone:
        targets = values[lone[0]][np.isfinite(values[lone[0]])]
    else:
        targets = _targets(runs, values, axis, number)
    ordered = _in_training_order(targets, axis).tolist()
    by_run = [
        _places(run, one, ordered, axis, nearest=bool(lone)) for run, one in zip(runs, values, strict=True)
    ]
    points = tuple(
        AlignedPoint(target=target, places=places)
        for target, places in zip(ordered, zip(*by_run, strict=True), strict=True)
    )
    notes = _notes([runs[i].name for i in lone], len(runs))
    return Alignment(axis=axis, loss=kind, points=points, notes=notes)


def _loss_of_all(runs: Sequence[Run], asked_for: Loss | None) -> Loss:
    for kind in Loss if asked_for is None else [Loss(asked_for)]:
        if all(np.isfinite(run.losses(kind)).any() for run in runs):
            return kind
    held = "; ".join(f"{run.name} has {_held(run)}" for run in runs)
    wanted = "one kind of loss" if asked_for is None else f"a {asked_for} loss"
    raise DataError(
        f"not every run has {wanted}: {held}. Align by --align step or tokens, or give --loss another kind"
    )


def _held(run: Run) -> str:
    return ", ".join(kind.value for kind in Loss if np.isfinite(run.losses(kind)).any()) or "none"


def _values(run: Run, axis: Axis, kind: Loss | None) -> FloatArray:
    values = run.on(axis) if kind is None else run.losses(kind)
    if not np.isfinite(values).any():
        raise DataError(
            f"{run.name} does not say its {axis}s: align by another axis, or write them into run.toml "
            "and scan again"
        )
    if kind is None and (np.diff(values[np.isfinite(values)]) <= 0).any():
        raise DataError(f"the {axis}s of {run.name} do not increase: align by --align loss")
    return values


def _targets(runs: Sequence[Run], values: Sequence[FloatArray], axis: Axis, number: int) -> FloatArray:
    finite = [np.isfinite(one) for one in values]
    known = [one[here].tolist() for one, here in zip(values, finite, strict=True)]
    try:
        if axis is Axis.LOSS:
            untrained = [bool(run.steps[here][0] == 0) for run, here in zip(runs, finite, strict=True)]
            found = loss_targets(known, number, untrained=untrained)
        else:
            found = position_targets(known, number)
    except DataError as error:
        raise DataError(f"{', '.join(run.name for run in runs)}: {error}") from error
    return np.unique(found)


def _in_training_order(targets: FloatArray, axis: Axis) -> FloatArray:
    ordered: FloatArray = np.sort(targets)
    return ordered[::-1] if axis is Axis.LOSS else ordered


def _places(
    run: Run, values: FloatArray, targets: Sequence[float], axis: Axis, *, nearest: bool
) -> list[Place]:
    """Where a run stands at each target, the third checkpoint one of those around other targets if it can."""
    found = [_place(run, values, target, axis, nearest=nearest) for target in targets]
    around = sorted({i for place in found for i in (place.bracket.before, place.bracket.after)})
    on_the_way = values
    if axis is Axis.LOSS:
        on_the_way = np.where(values == best_so_far(values.tolist()), values, np.nan)
    return [replace(place, bracket=with_third(place.bracket, on_the_way, around)) for place in found]


def _place(run: Run, values: FloatArray, target: float, axis: Axis, *, nearest: bool) -> Place:
    known = np.flatnonzero(np.isfinite(values))
    if axis is Axis.LOSS:
        bracket = at_loss(values.tolist(), target)
        if bracket is not None and values is run.losses(Loss.PROBE):
            bracket = resolved(values.tolist(), bracket, target, run.loss_stderr)
    else:
        bracket = _among(known, at_position(values[known].tolist(), target))
    if bracket is not None:
        return Place(bracket=bracket)
    if not nearest:
        low, high = values[known].min(), values[known].max()
        raise DataError(
            f"{run.name} never stands at {axis} {target:g}: its checkpoints span {low:g} to {high:g}, and "
            "nothing is extrapolated; give --at values inside"
        )
    held = best_so_far(values.tolist()) if axis is Axis.LOSS else values
    distances = np.abs(np.where(np.isfinite(held), held, np.inf) - target)
    closest = int(np.argmin(distances))
    return Place(
        bracket=Bracket(before=closest, after=closest, share=0.0, gap=0.0), gap=float(distances[closest])
    )


def resolved(losses: Sequence[float], bracket: Bracket, target: float, stderr: float) -> Bracket:
    """The bracket, widened until the losses of its ends differ by two of their standard errors.

    A noisy loss does not tell between which of many close checkpoints the target was reached, and the change
    of a number for a nat of loss cannot be read from two checkpoints of almost the same loss.
    """
    envelope = best_so_far(losses)
    enough = 2 * stderr
    if bracket.before == bracket.after or envelope[bracket.before] - envelope[bracket.after] >= enough:
        return bracket
    below = np.flatnonzero(envelope <= target - stderr)
    after = int(below[0]) if below.size else bracket.after
    above = np.flatnonzero(np.isfinite(envelope) & (envelope >= max(target, envelope[after] + enough)))
    before = bracket.before
    if above.size:
        before = int(np.flatnonzero(envelope == envelope[above[-1]])[0])
    step = float(envelope[before] - envelope[after])
    share = float((envelope[before] - target) / step)
    return Bracket(before=before, after=after, share=share, gap=step * min(share, 1.0 - share))


def _among(known: np.ndarray[tuple[int], np.dtype[np.int64]], bracket: Bracket | None) -> Bracket | None:
    """A bracket among the known places as one among all checkpoints."""
    if bracket is None:
        return None
    return replace(bracket, before=int(known[bracket.before]), after=int(known[bracket.after]))


def _notes(lone: Sequence[str], number: int) -> tuple[str, ...]:
    if not lone:
        return ()
    others = "" if len(lone) == number else ", to which the others are brought as close as they come"
    return (f"a single checkpoint in {' and '.join(lone)}{others}",)
