"""`spectra.drift`: how the principal directions of a series moved."""

from __future__ import annotations

from spectra_cli.analysis.drift.over_series import DriftReport
from spectra_cli.core.errors import UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words import lists
from spectra_cli.workflows import drift as workflow

AGAINST = {"first": ("first",), "previous": ("previous",), "both": ("first", "previous")}


def drift(archive: AnyPath, *, against: str = "both", ranks: lists.Integers | None = None) -> DriftReport:
    """Tell whether training turned the principal directions of the weights, or kept off them.

    Args:
        archive: an archive made with `vectors=K`, or the checkpoint folder that was scanned; without
            vectors only the spectral shift can be told.
        against: the `first` checkpoint, the `previous` one, or `both`.
        ranks: directions of a subspace (`-k`); 16 and 64 by default.

    Raises:
        ArchiveError: there is no such archive, or it is damaged.
        UsageError, DataError: what was asked for is not there, or cannot be.
    """
    if against not in AGAINST:
        raise UsageError(f"--against {against}: expected first, previous or both")
    return workflow.drift(archive, against=AGAINST[against], ranks=lists.integers(ranks, "-k"))
