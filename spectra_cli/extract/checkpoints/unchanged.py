"""Whether a checkpoint is still the one whose header was read: its tensors are read after it."""

from __future__ import annotations

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.annotated import AnnotatedSource
from spectra_cli.extract.protocols import CheckpointHeader


def check_unchanged(source: AnnotatedSource, header: CheckpointHeader) -> None:
    """Read the header again, once all that is needed of the tensors has been read.

    Raises:
        CheckpointError: a file has another size or time of change, or says something else.
    """
    again = source.header(header.ref)
    names = ("fingerprint", "tensors", "stated_step", "tokens_seen")
    if any(getattr(again, name) != getattr(header, name) for name in names):
        raise CheckpointError(
            f"{header.ref.uri}: it changed while it was being read, so that its weights and what is said "
            "about them may be of two checkpoints; scan it again once nothing writes to it"
        )
