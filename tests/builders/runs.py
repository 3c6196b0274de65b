"""Runs without an archive: what they say of themselves, and no spectra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spectra_cli.analysis.run import Run
from spectra_cli.core.series import Unfinished
from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    FloatArray,
    Provenance,
)
from tests.builders import provenance as builders


@dataclass(kw_only=True)
class PlantedSeries:
    """A `MeasuredSeries` that holds scalars alone."""

    refs: tuple[CheckpointRef, ...]
    infos: tuple[CheckpointInfo, ...]
    scalars: dict[str, FloatArray]
    replicates: tuple[FloatArray, ...] = ()
    path: Path = Path("planted.spectra.h5")
    measurements: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    unfinished: Unfinished | None = None
    provenance: Provenance = field(default_factory=builders.provenance)

    def __len__(self) -> int:
        return len(self.refs)

    def checkpoint(self, index: int, *, vectors: bool = True) -> CheckpointSpectra:
        raise NotImplementedError

    def checkpoints(
        self, indices: Sequence[int], *, vectors: bool = True, measurements: Sequence[str] | None = None
    ) -> Iterator[CheckpointSpectra]:
        raise NotImplementedError

    def scalars_over(self, name: str) -> FloatArray:
        return self.scalars.get(name, np.full(len(self), np.nan))

    def replicates_over(self, name: str) -> tuple[FloatArray, ...]:
        assert name == "probe_loss"
        return self.replicates or (np.empty(0),) * len(self)


def planted_run(
    name: str,
    losses: Sequence[float],
    *,
    steps: Sequence[Any] | None = None,
    tokens: Sequence[Any] | None = None,
    validation: Sequence[Any] | None = None,
    train: Sequence[Any] | None = None,
    replicates: Sequence[Sequence[float]] = (),
) -> Run:
    """A run with these losses on its probe, nats; None and NaN for what a checkpoint does not say."""
    nothing = [None] * len(losses)
    refs = [
        CheckpointRef(run=name, step=step, uri=f"/{name}/{place}", format="hf")
        for place, step in enumerate(steps or nothing)
    ]
    facts = zip(tokens or nothing, validation or nothing, train or nothing, strict=True)
    infos = [
        CheckpointInfo(
            num_parameters=1,
            family="gpt2",
            architecture="G",
            tokens_seen=seen,
            eval_loss=held,
            train_loss=own,
        )
        for seen, held, own in facts
    ]
    series = PlantedSeries(
        refs=tuple(refs),
        infos=tuple(infos),
        scalars={"probe_loss": np.array(losses, dtype=float)},
        replicates=tuple(np.array(one, dtype=float) for one in replicates),
    )
    return Run(name=name, series=series)
