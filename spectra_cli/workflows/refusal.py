"""What a series with checkpoints that cannot be measured comes to: the same for `scan` and `inspect`."""

from __future__ import annotations

from spectra_cli.core.errors import DataError
from spectra_cli.core.types import CheckpointRef


def not_measured(ref: CheckpointRef, reason: str, kept: str = "") -> DataError:
    """The error that one bad checkpoint is, unless such ones are to be left out."""
    return DataError(
        f"{ref.key} could not be measured: {reason.rstrip('.')}.{kept} --on-error skip leaves such ones out"
    )
