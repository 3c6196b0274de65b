"""The spectra of compared runs at each aligned point, each checkpoint read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from spectra_cli.analysis.alignment import Alignment
from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.compare.aligned.points import Point
from spectra_cli.analysis.run import PROBE_LOSS, Loss, Run
from spectra_cli.core.types import CheckpointSpectra, Scalar


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
