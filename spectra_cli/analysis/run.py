"""A run: the checkpoints of one training, over steps, tokens or loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Self

import numpy as np

from spectra_cli.core.errors import DataError
from spectra_cli.core.series import MeasuredSeries
from spectra_cli.core.types import CheckpointInfo, CheckpointSpectra, FloatArray
from spectra_cli.statistics.jackknife import standard_error

PROBE_LOSS = "probe_loss"
_METADATA = "(docs/how-to/training-metadata.md)"


class Axis(StrEnum):
    """Over what a run is read, and what is equal between runs at an aligned point."""

    LOSS = "loss"
    STEP = "step"
    TOKENS = "tokens"

    @property
    def unit(self) -> str:
        """Of a number on it, in the plural."""
        return {Axis.LOSS: "nats", Axis.STEP: "steps", Axis.TOKENS: "tokens"}[self]


class Loss(StrEnum):
    """Which loss: measured by the scan on its own probe, or written down by the training stack."""

    PROBE = "probe"
    VALIDATION = "validation"
    TRAIN = "train"

    @property
    def words(self) -> str:
        """What it is called in a sentence."""
        return {
            Loss.PROBE: "probe loss (measured by the scan on its probe)",
            Loss.VALIDATION: "validation loss (as the training stack wrote it)",
            Loss.TRAIN: "training loss (as the training stack wrote it)",
        }[self]


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A series of measured checkpoints, or those of them that stand somewhere on an axis.

    Attributes:
        name: tells it from the other runs of a command.
        series: what was measured.
        chosen: (n,) places in the series of the checkpoints that count; None for all.
    """

    name: str
    series: MeasuredSeries
    chosen: tuple[int, ...] | None = None

    @property
    def places(self) -> tuple[int, ...]:
        """(n,) of its checkpoints in the series, ascending."""
        return tuple(range(len(self.series))) if self.chosen is None else self.chosen

    @property
    def num_left_out(self) -> int:
        """Checkpoints of the series that are not among `places`."""
        return len(self.series) - len(self)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def infos(self) -> tuple[CheckpointInfo, ...]:
        """What each checkpoint says about itself."""
        return tuple(self.series.infos[place] for place in self.places)

    @cached_property
    def steps(self) -> FloatArray:
        """(n,) optimiser steps, NaN where unknown."""
        return _known(self.series.refs[place].step for place in self.places)

    @cached_property
    def tokens(self) -> FloatArray:
        """(n,) tokens seen, NaN where unknown."""
        return _known(info.tokens_seen for info in self.infos)

    def on(self, axis: Axis) -> FloatArray:
        """(n,) tokens or steps, NaN where unknown."""
        return {Axis.STEP: self.steps, Axis.TOKENS: self.tokens}[axis]

    def losses(self, kind: Loss) -> FloatArray:
        """(n,) nats, NaN where there is none."""
        if kind == Loss.PROBE:
            return self._probe_losses
        field = {Loss.VALIDATION: "eval_loss", Loss.TRAIN: "train_loss"}[kind]
        return _known(getattr(info, field) for info in self.infos)

    @cached_property
    def _probe_losses(self) -> FloatArray:
        return self.series.scalars_over(PROBE_LOSS)[list(self.places)]

    @cached_property
    def loss_stderr(self) -> float:
        """Standard error of the probe's loss, the median over checkpoints; 0 where it is unknown."""
        replicates = self.series.replicates_over(PROBE_LOSS)
        errors = [
            standard_error(np.array([loss, *replicates[place]]), (1,) * replicates[place].size)
            for loss, place in zip(self._probe_losses, self.places, strict=True)
        ]
        known = [error for error in errors if np.isfinite(error)]
        return float(np.median(known)) if known else 0.0

    @property
    def batch_size_tokens(self) -> int | None:
        """Tokens of an optimiser step, of the last checkpoint that says so."""
        sizes = [info.batch_size_tokens for info in self.infos]
        return next((size for size in reversed(sizes) if size is not None), None)

    def along(self, axis: Axis) -> Self:
        """The run with the checkpoints alone whose place on the axis is known.

        Raises:
            DataError: there is none, or its steps start anew with each stage.
        """
        positions, path = self.on(axis), self.series.path
        here = np.flatnonzero(np.isfinite(positions))
        if not here.size:
            raise DataError(
                f"{path}: no checkpoint says its {axis.unit}. Give them with --log or in a run.toml, and "
                f"scan again: nothing is measured twice {_METADATA}."
            )
        if (np.diff(positions[here]) < 0).any():
            raise DataError(
                f"{path}: its {axis.unit} do not ascend over the checkpoints (a run in stages counts its "
                f"steps anew in each). Give the tokens with --log or in a run.toml {_METADATA}."
            )
        return replace(self, chosen=tuple(self.places[index] for index in here))

    def checkpoint(self, index: int) -> CheckpointSpectra:
        """The measurements of the checkpoint at `places[index]`, without vectors."""
        return next(self.checkpoints([index]))

    def checkpoints(
        self, indices: Iterable[int], measurements: Sequence[str] | None = None
    ) -> Iterator[CheckpointSpectra]:
        """Those of several, in this order, read in one go; the spectra of some measurements, or of all."""
        chosen = [self.places[index] for index in indices]
        return self.series.checkpoints(chosen, vectors=False, measurements=measurements)


def common_axis(runs: Sequence[Run]) -> Axis:
    """Tokens where every run knows them wherever it knows its steps, steps otherwise."""
    for run in runs:
        tokens, steps = (np.isfinite(run.on(axis)).sum() for axis in (Axis.TOKENS, Axis.STEP))
        if tokens == 0 or tokens < steps:
            return Axis.STEP
    return Axis.TOKENS


def common_loss(runs: Sequence[Run], asked_for: Loss | None) -> Loss:
    """The loss that the runs are judged by: the one asked for, or the first that every run has.

    Raises:
        DataError: no such loss in one of the runs.
    """
    lacking = {
        kind: [run for run in runs if not np.isfinite(run.losses(kind)).any()]
        for kind in (Loss if asked_for is None else [Loss(asked_for)])
    }
    for kind, without in lacking.items():
        if not without:
            return kind
    told = "; ".join(f"{kind}: not in {', '.join(r.name for r in runs)}" for kind, runs in lacking.items())
    raise DataError(
        f"no loss to go by ({told}). A scan with a probe measures its loss; --log or a run.toml adds "
        f"those of the training {_METADATA}."
    )


def _known(values: Iterable[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def notices_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """What is to be known of their archives themselves, in sentences: by name where there are several.

    That scans still owe them something, and that they may mix two runs.
    """
    return tuple(
        f"{run.name}: {words}" if len(runs) > 1 else words for run in runs for words in run.series.notices
    )
