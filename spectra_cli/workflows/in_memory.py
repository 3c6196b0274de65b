"""Measured checkpoints that no archive holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectra_cli.core.series import Unfinished
from spectra_cli.core.types import CheckpointInfo, CheckpointRef, CheckpointSpectra, FloatArray, Provenance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InMemory:
    """A `MeasuredSeries` that is all there.

    Attributes:
        measured: the checkpoints, by step; one at least.
    """

    measured: tuple[CheckpointSpectra, ...]

    @property
    def path(self) -> Path:
        """No file's."""
        return Path("(in memory)")

    @property
    def refs(self) -> tuple[CheckpointRef, ...]:
        """The checkpoints, in order."""
        return tuple(one.ref for one in self.measured)

    @property
    def infos(self) -> tuple[CheckpointInfo, ...]:
        """What each says about itself."""
        return tuple(one.info for one in self.measured)

    @property
    def provenance(self) -> Provenance:
        """What all of them share."""
        return self.measured[0].provenance

    @property
    def measurements(self) -> tuple[str, ...]:
        """Names of the measurements of which some checkpoint has spectra."""
        return tuple(dict.fromkeys(s.measurement for one in self.measured for s in one.spectra))

    @property
    def notices(self) -> tuple[str, ...]:
        """None: it is whole, and of one run."""
        return ()

    @property
    def unfinished(self) -> Unfinished | None:
        """Nothing is owed."""
        return None

    def __len__(self) -> int:
        return len(self.measured)

    def checkpoint(self, index: int, *, vectors: bool = True) -> CheckpointSpectra:
        """Everything measured on one checkpoint."""
        return self.measured[index]

    def checkpoints(
        self, indices: Sequence[int], *, vectors: bool = True, measurements: Sequence[str] | None = None
    ) -> Iterator[CheckpointSpectra]:
        """Several, in this order; whatever is asked for, they are here already."""
        return (self.measured[index] for index in indices)

    def scalars_over(self, name: str) -> FloatArray:
        """(checkpoints,) of a number of the whole model, NaN where it was not measured."""
        return np.array([self._scalar(one, name)[0] for one in self.measured], dtype=np.float64)

    def replicates_over(self, name: str) -> tuple[FloatArray, ...]:
        """For each checkpoint (num_blocks,) the same number without each block of the probe in turn."""
        return tuple(self._scalar(one, name)[1] for one in self.measured)

    @staticmethod
    def _scalar(checkpoint: CheckpointSpectra, name: str) -> tuple[float, FloatArray]:
        for scalar in checkpoint.scalars:
            if scalar.name == name and scalar.site is None:
                return scalar.value, scalar.delete_one_block
        return np.nan, np.empty(0)
