"""`spectra.validate`: check an archive against the format's rules."""

from __future__ import annotations

from spectra_cli.core.paths import AnyPath
from spectra_cli.workflows import validate as workflow


def validate(archive: AnyPath) -> workflow.Validation:
    """Check an archive against its format: structure, provenance, and that its spectra are spectra.

    Args:
        archive: an archive, or the checkpoint folder that was scanned in this directory.

    Raises:
        ArchiveError: there is no such archive, or it is of other checkpoints than those that were named.
    """
    return workflow.validate(archive)
