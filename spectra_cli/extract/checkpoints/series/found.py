"""What the source of every format begins with: a run and its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spectra_cli.core.types import CheckpointRef


@dataclass(kw_only=True, slots=True)
class FoundRun:
    """One run of checkpoints of one format.

    Attributes:
        run: name of the folder that was given.
        checkpoints: in order of their steps, those without one in natural order.
        format: as in the registry of formats.
        notices: about the series as a whole; every header repeats them.
    """

    run: str
    checkpoints: tuple[CheckpointRef, ...]
    format: str
    notices: tuple[str, ...] = ()

    def refs(self) -> Sequence[CheckpointRef]:
        """The checkpoints, ordered by step."""
        return self.checkpoints
