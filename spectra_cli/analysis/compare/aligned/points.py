"""A run at an aligned point, and numbers there, interpolated between two checkpoints, each read once.

Everything comes with its delete-one-block values, so that a difference of two points has the standard
error of a single one. Where the runs are aligned on a loss that was measured on the same probe, that loss
has the probe's noise too: without a block the point itself moves, and every number with it. See
docs/explanation/comparing.md. What interpolation may have got wrong is the bend of a number through a third
checkpoint, not the distance to the nearer one: that is the slope, which interpolation takes off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from spectra_cli.analysis.alignment import Alignment
from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.estimates import Estimated
from spectra_cli.analysis.run import PROBE_LOSS, Loss, Run
from spectra_cli.core.measurements import GRADIENTS
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Scalar, Site
from spectra_cli.statistics.noise_scale import NOISE, SIGNAL, noise_scale_rows

# A scan leaves out at most this share of sequences, those without a finite loss.
_DROPPED = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """A run at one aligned point.

    Attributes:
        before, after: the checkpoints around it; the same one where the point is a checkpoint.
        bracket: where between them.
        third: the checkpoint that shows how numbers bend between the two; None without one.
        loss_step: loss of `after` minus that of `before`; NaN unless aligned on a loss of the probe.
        loss_noise: (1 + L,) how much the loss at the point changes without each block; empty without
            blocks. Its first value, of the whole probe, is 0.
        loss_sizes: (L,) sequences in each of these blocks.
    """

    before: CheckpointSpectra
    after: CheckpointSpectra
    bracket: Bracket
    third: CheckpointSpectra | None = None
    loss_step: float = math.nan
    loss_noise: FloatArray = field(default_factory=lambda: np.empty(0))
    loss_sizes: tuple[int, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether noise of the loss moves the point between its checkpoints."""
        return self.before is not self.after and bool(self.loss_noise.size) and bool(self.loss_step)

    def has_blocks_of(self, measurement: str) -> bool:
        """Whether the blocks of the loss are the same sequences as those of a measurement.

        Both are dealt in order into as many blocks: they are the same if there are as many sequences.
        """
        number = self.before.provenance.setting_facts.samples_of(measurement)
        of_loss = sum(self.loss_sizes)
        return (1 - _DROPPED) * number <= of_loss <= number

    def interpolate(self, before: FloatArray, after: FloatArray, *, with_loss: bool = False) -> FloatArray:
        """A number, (1 + B,), or a vector, (1 + B, K), of both checkpoints at the point.

        Args:
            before, after: of the checkpoints.
            with_loss: the blocks are those of the loss. Without block b it is off by `loss_noise[b]`:
                the number is moved back to where the loss would be the target.
        """
        if self.before is self.after:
            return before
        rows = self.bracket.between(before, after)
        if not (with_loss and self.moves and self.loss_noise.size == len(rows)):
            return rows
        moved: FloatArray = np.multiply.outer(self.loss_noise, self.slope(before, after))
        return rows - moved

    def slope(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """Change of a number on the whole probe with a nat of loss."""
        slope: FloatArray = (after[0] - before[0]) / self.loss_step
        return slope

    def bend(self, before: FloatArray, after: FloatArray, third: FloatArray | None) -> FloatArray:
        """What interpolation may have got wrong in a number on the whole probe, with its sign."""
        if self.before is self.after:
            return np.zeros_like(before[0])
        return self.bracket.bend(before[0], after[0], third)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberAt:
    """A number of a run at a point.

    Attributes:
        estimated: with its delete-one-block values; NaN where it does not exist.
        reason: why there is none, or what limits it; empty otherwise.
    """

    estimated: Estimated
    reason: str = ""


def nothing(block_sizes: tuple[int, ...]) -> Estimated:
    """A number that does not exist."""
    return Estimated(per_row=np.full(1 + len(block_sizes), np.nan), block_sizes=block_sizes)


def interpolated(
    point: Point,
    before: FloatArray,
    after: FloatArray,
    third: FloatArray | None,
    block_sizes: tuple[int, ...],
    *,
    with_loss: bool,
) -> Estimated:
    """A number at the point from its values at the checkpoints, (1 + B,) each; of the third one, ()."""
    known = third is not None and bool(np.isfinite(third))
    off = float(point.bend(before, after, third if known else None))
    off = off if math.isfinite(off) else 0.0
    apart = point.moves and not with_loss and bool(block_sizes)
    return Estimated(
        per_row=point.interpolate(before, after, with_loss=with_loss),
        block_sizes=block_sizes,
        loss_rows=-point.loss_noise * point.slope(before, after) if apart else np.empty(0),
        loss_sizes=point.loss_sizes if apart else (),
        bend=off if known else 0.0,
        unbent=0.0 if known else abs(off),
    )


def log_noise_scales(point: Point) -> Mapping[Site, NumberAt]:
    """The logarithm of the gradient noise scale of each matrix at the point."""
    early, late = _signals(point.before), _signals(point.after)
    third = {} if point.third is None else _signals(point.third)
    with_loss = point.moves and point.has_blocks_of(GRADIENTS)
    found: dict[Site, NumberAt] = {}
    for site, pair in early.items():
        if site not in late or late[site][0].block_sizes != pair[0].block_sizes:
            continue
        rows = [np.log(noise_scale_rows(*both)) for both in (pair, late[site])]
        sizes = pair[0].block_sizes if rows[0].size > 1 else ()
        there = np.log(noise_scale_rows(*third[site]))[0] if site in third else None
        number = interpolated(point, rows[0], rows[1], there, sizes, with_loss=with_loss)
        known = math.isfinite(number.value)
        why = "" if known else "the samples are too few to tell the mean gradient from zero"
        found[site] = NumberAt(estimated=number, reason=why)
    return found


def _signals(checkpoint: CheckpointSpectra) -> dict[Site, tuple[Scalar, Scalar]]:
    """Signal and noise of each site's gradients, where both were measured."""
    found: dict[Site, dict[str, Scalar]] = {}
    for scalar in checkpoint.scalars:
        if scalar.name in (SIGNAL, NOISE) and scalar.site is not None:
            found.setdefault(scalar.site, {})[scalar.name] = scalar
    return {site: (both[SIGNAL], both[NOISE]) for site, both in found.items() if len(both) == 2}


def points_of(runs: Sequence[Run], alignment: Alignment) -> Iterator[list[Point]]:
    """Every run at each point in turn; a checkpoint is read once, and dropped after its last point."""
    reading = [_reading(run, place, alignment) for place, run in enumerate(runs)]
    for aligned in alignment.points:
        yield [
            _point(run, place.bracket, aligned.target, alignment, next(at))
            for run, place, at in zip(runs, aligned.places, reading, strict=True)
        ]


_Around = tuple[CheckpointSpectra, CheckpointSpectra, CheckpointSpectra | None]


def _reading(run: Run, place: int, alignment: Alignment) -> Iterator[_Around]:
    """The checkpoints around each point of one run, and the third one of each that has one."""
    brackets = [point.places[place].bracket for point in alignment.points]
    needed = [[i for i in (b.before, b.after, b.third) if i is not None] for b in brackets]
    last_use = {index: i for i, indices in enumerate(needed) for index in indices}
    checkpoints = run.checkpoints(dict.fromkeys(chain(*needed)))
    held: dict[int, CheckpointSpectra] = {}
    for i, indices in enumerate(needed):
        for index in dict.fromkeys(indices):
            if index not in held:
                held[index] = next(checkpoints)
        before, after, *third = (held[index] for index in indices)
        yield before, after, third[0] if third else None
        held = {index: checkpoint for index, checkpoint in held.items() if last_use[index] > i}


def _point(run: Run, bracket: Bracket, target: float, alignment: Alignment, around: _Around) -> Point:
    before, after, third = around
    if alignment.loss is not Loss.PROBE or before is after:
        return Point(before=before, after=after, third=third, bracket=bracket)
    early, late = (_probe_loss(checkpoint) for checkpoint in (before, after))
    losses = run.losses(Loss.PROBE)
    noise, sizes = np.empty(0), early.block_sizes if early is not None else ()
    if early is not None and late is not None and sizes and sizes == late.block_sizes:
        without = bracket.between(early.delete_one_block, late.delete_one_block)
        noise = np.array([0.0, *(without - target)])
    return Point(
        before=before,
        after=after,
        third=third,
        bracket=bracket,
        loss_step=float(losses[bracket.after] - losses[bracket.before]),
        loss_noise=noise,
        loss_sizes=sizes,
    )


def _probe_loss(checkpoint: CheckpointSpectra) -> Scalar | None:
    return next((one for one in checkpoint.scalars if one.name == PROBE_LOSS and one.site is None), None)


def nearest_to_last_point(run: Run, place: int, alignment: Alignment) -> CheckpointSpectra:
    """The checkpoint of a run that is nearest to the last point, with its vectors."""
    bracket = alignment.points[-1].places[place].bracket
    return run.series.checkpoint(bracket.nearer)
