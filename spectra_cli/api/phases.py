"""`spectra.phases`: the phases of a run's training."""

from __future__ import annotations

from spectra_cli.analysis.phases.over_run import Phases
from spectra_cli.core.paths import AnyPath
from spectra_cli.workflows import phases as workflow


def phases(archive: AnyPath, *, layer: int | None = None, alpha: str | None = None) -> Phases:
    """Find warm-up, entropy-seeking and compression-seeking phases of a run.

    That there are none is an answer.

    Args:
        archive: an archive, or the checkpoint folder that was scanned.
        layer: of which layer; by default the last one measured.
        alpha: the decay exponent; by default `alpha_req_11_100`, or a narrower window that fits.

    Raises:
        ArchiveError: there is no such archive, or it is damaged.
        UsageError, DataError: a layer or exponent that is not there; too few checkpoints.
    """
    return workflow.phases(archive, layer=layer, alpha=alpha)
