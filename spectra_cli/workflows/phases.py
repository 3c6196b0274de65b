"""Phases of a run's training from its archive."""

from __future__ import annotations

from spectra_cli.analysis.phases.over_run import Phases, phases_of
from spectra_cli.core.paths import AnyPath
from spectra_cli.workflows.runs import open_runs


def phases(archive: AnyPath, *, layer: int | None = None, alpha: str | None = None) -> Phases:
    """Warm-up, entropy-seeking and compression-seeking stretches of one run, as `phases_of` gives them.

    Args:
        archive: its path, or the folder it was scanned from.

    Raises:
        ArchiveError: there is no such archive, or it is damaged.
        UsageError, DataError: as `phases_of`.
    """
    (run,) = open_runs([archive])
    return phases_of(run, layer=layer, alpha=alpha)
