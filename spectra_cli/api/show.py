"""`spectra.show`: the statistics of an archive."""

from __future__ import annotations

from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words import lists
from spectra_cli.workflows import show as workflow


def show(
    archive: AnyPath,
    *,
    step: lists.Integers | None = None,
    layer: lists.Integers | None = None,
    statistic: lists.Words | None = None,
) -> workflow.ArchiveSummary:
    """The statistics of an archive, with standard errors.

    Args:
        archive: an archive, or the checkpoint folder that was scanned in this directory.
        step: only these steps, such as `"0,100-300"` or `[0, range(100, 301)]`.
        layer: only these layers.
        statistic: only these, over the series.

    Raises:
        ArchiveError: there is no such archive, or it is damaged.
        UsageError: a step, layer or statistic that it does not hold.
    """
    return workflow.show(
        archive,
        steps=lists.ranges(step, "--step"),
        layers=lists.integers(layer, "--layer"),
        statistics=lists.words(statistic),
    )
