"""What measured checkpoints offer to whoever compares runs, and what a scan still owes them.

Such a series is an archive, or planted in a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from spectra_cli.core.types import CheckpointInfo, CheckpointRef, CheckpointSpectra, FloatArray, Provenance
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.plurals import agreed, counted

_NUM_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What a scan was asked for and an archive does not hold yet, in words and as values.

    Attributes:
        measured: checkpoints that it holds.
        missing: names of those that are not measured yet.
        failed: name of each that could not be measured -> why.
        num_parts: part files that no scan has merged yet.
    """

    measured: int
    missing: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    num_parts: int = 0

    @property
    def asked(self) -> int:
        """Checkpoints that were to be measured."""
        return self.measured + len(self.missing) + len(self.failed)

    def words(self) -> str:
        """One sentence.

        >>> Unfinished(measured=2, missing=("step3", "step4")).words()
        'unfinished: 2 of 4 checkpoints, scan still running or stopped; not measured: step3, step4'
        >>> Unfinished(measured=1, failed={"step3": "no weights"}).words()
        'unfinished: 1 of 2 checkpoints; could not be measured: step3 (no weights)'
        """
        if self.asked == self.measured:
            return (
                f"unfinished: all {counted(self.measured, 'checkpoint')} {agreed(self.measured)} "
                f"measured, {counted(self.num_parts, 'part file')} "
                f"{agreed(self.num_parts, 'waits', 'wait')} beside the archive for a scan to merge them"
            )
        text = f"unfinished: {self.measured} of {self.asked} checkpoints"
        if self.missing:
            named = listed(map(_plain, self.missing), _NUM_NAMED)
            text += f", scan still running or stopped; not measured: {named}"
        if self.failed:
            reasons = "; ".join(f"{_plain(name)} ({why})" for name, why in self.failed.items())
            text += f"; could not be measured: {reasons}"
        return text

    def document(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "measured": self.measured,
            "asked": self.asked,
            "missing": list(map(_plain, self.missing)),
            "failed": {_plain(name): why for name, why in self.failed.items()},
            "num_parts": self.num_parts,
        }


def _plain(identity: str) -> str:
    """The name of a checkpoint without the address that tells apart those of unknown step."""
    return identity.partition("@/")[0]


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
