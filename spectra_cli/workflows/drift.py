"""Drift of a series' weights and activations, from its archive."""

from __future__ import annotations

from collections.abc import Sequence

from spectra_cli.analysis.drift.over_series import FIRST, PREVIOUS, DriftReport, drift_of
from spectra_cli.core.paths import AnyPath
from spectra_cli.workflows.identity.named_archive import open_named


def drift(
    archive: AnyPath, *, against: Sequence[str] = (FIRST, PREVIOUS), ranks: Sequence[int] | None = None
) -> DriftReport:
    """How the principal directions of a series moved, as `drift_of` says.

    Args:
        archive: its path, or the folder it was scanned from.

    Raises:
        ArchiveError: there is no such archive, or it is damaged.
        DataError, UsageError: as `drift_of`.
    """
    return drift_of(open_named(archive), against=against, ranks=ranks)
