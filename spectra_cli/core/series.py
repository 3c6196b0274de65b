"""What measured checkpoints offer to whoever compares runs: an archive, or a series planted in a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from spectra_cli.core.types import CheckpointInfo, CheckpointRef, CheckpointSpectra, FloatArray, Provenance
from spectra_cli.core.unfinished import Unfinished


class MeasuredSeries(Protocol):
    """Checkpoints of one run, by step, unknown steps last; spectra are read when asked for."""

    @property
    def path(self) -> Path:
        """Where it is kept."""

    @property
    def refs(self) -> tuple[CheckpointRef, ...]:
        """The checkpoints, in order."""

    @property
    def infos(self) -> tuple[CheckpointInfo, ...]:
        """What each says about itself, in the order of `refs`."""

    @property
    def provenance(self) -> Provenance:
        """What all of them share."""

    @property
    def measurements(self) -> tuple[str, ...]:
        """Names of the measurements of which some checkpoint has spectra."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What whoever reads its numbers has to know of the series itself."""

    @property
    def unfinished(self) -> Unfinished | None:
        """What a scan still owes it; None where nothing."""

    def __len__(self) -> int:
        """Number of checkpoints."""

    def checkpoint(self, index: int, *, vectors: bool = True) -> CheckpointSpectra:
        """Everything measured on one checkpoint; `vectors` as in `checkpoints`."""

    def checkpoints(
        self, indices: Sequence[int], *, vectors: bool = True, measurements: Sequence[str] | None = None
    ) -> Iterator[CheckpointSpectra]:
        """Several, in this order; without vectors far faster where the scan kept some.

        Args:
            measurements: whose spectra are wanted; None for all. Scalars are there in any case.
        """

    def scalars_over(self, name: str) -> FloatArray:
        """(checkpoints,) of a number of the whole model, NaN where it was not measured."""

    def replicates_over(self, name: str) -> tuple[FloatArray, ...]:
        """For each checkpoint (num_blocks,) the same number without each block of the probe in turn."""
