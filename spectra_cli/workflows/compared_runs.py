"""The runs of a comparison: their archives, where they stand, and their spectra at each aligned point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from spectra_cli.analysis.alignment import Alignment, Loss, Trajectory
from spectra_cli.analysis.matching import Bracket
from spectra_cli.analysis.points import Point
from spectra_cli.archive.layout import SUFFIX, resolve_archive
from spectra_cli.archive.reader import Archive
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.types import CheckpointInfo, CheckpointSpectra, FloatArray, Scalar
from spectra_cli.statistics.jackknife import standard_error
from spectra_cli.workflows.named_archive import open_all
from spectra_cli.workflows.repeated import refuse_repeated

PROBE_LOSS = "probe_loss"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One of the compared runs; `name` tells it from the others."""

    name: str
    archive: Archive
    trajectory: Trajectory

    @property
    def info(self) -> CheckpointInfo:
        """Of its last checkpoint."""
        return self.archive.infos[-1]

    @property
    def batch_size_tokens(self) -> int | None:
        """Tokens of an optimiser step, of the last checkpoint that says so."""
        sizes = [info.batch_size_tokens for info in self.archive.infos]
        return next((size for size in reversed(sizes) if size is not None), None)


def open_runs(names: Sequence[AnyPath]) -> tuple[Run, ...]:
    """The runs, named by archive or by the folder that was scanned.

    Raises:
        ArchiveError: there is no such archive, or it is damaged.
        UsageError: two of them are the same archive, or of the same checkpoints measured alike.
    """
    archives = open_all(names)
    refuse_repeated(names, archives, "there is nothing to compare, and no verdict")
    return tuple(
        Run(name=label, archive=archive, trajectory=_trajectory(label, archive))
        for label, archive in zip(_labels([one.path for one in archives]), archives, strict=True)
    )


def same_archive(name: AnyPath, names: Sequence[AnyPath]) -> int | None:
    """The place among `names`, all of archives, of the first that stands for the same, however spelled."""
    files = [resolve_archive(one, Path.cwd()).resolve() for one in names]
    try:
        file = resolve_archive(name, Path.cwd()).resolve()
    except ArchiveError:
        return None
    return files.index(file) if file in files else None


def _labels(paths: Sequence[Path]) -> list[str]:
    """Names of archives, as short as they can be and still differ."""
    names = [path.name.removesuffix(SUFFIX) for path in paths]
    if len(set(names)) < len(set(paths)):
        names = [f"{path.absolute().parent.name}/{name}" for path, name in zip(paths, names, strict=True)]
    if len(set(names)) < len(set(paths)):
        names = [str(path).removesuffix(SUFFIX) for path in paths]
    return names


def _trajectory(name: str, archive: Archive) -> Trajectory:
    infos = archive.infos
    losses = archive.scalars_over(PROBE_LOSS)
    errors = [
        standard_error(np.array([loss, *rows]), (1,) * rows.size)
        for loss, rows in zip(losses, archive.replicates_over(PROBE_LOSS), strict=True)
    ]
    known = [error for error in errors if np.isfinite(error)]
    return Trajectory(
        name=name,
        losses={
            Loss.PROBE: losses,
            Loss.VALIDATION: _known(info.eval_loss for info in infos),
            Loss.TRAIN: _known(info.train_loss for info in infos),
        },
        steps=_known(ref.step for ref in archive.refs),
        tokens=_known(info.tokens_seen for info in infos),
        loss_stderr=float(np.median(known)) if known else 0.0,
    )


def _known(values: Iterable[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


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
    checkpoints = run.archive.checkpoints(list(dict.fromkeys(chain(*needed))), vectors=False)
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
    losses = run.trajectory.losses[Loss.PROBE]
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
    return run.archive.checkpoint(bracket.before if bracket.share < 0.5 else bracket.after)
