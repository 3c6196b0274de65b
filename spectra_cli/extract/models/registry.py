"""Model families by name, in the order in which they are tried."""

from __future__ import annotations

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanochat.family import NANOCHAT
from spectra_cli.extract.models.nanogpt.family import NANOGPT
from spectra_cli.extract.models.transformers.generic import GENERIC
from spectra_cli.extract.models.transformers.layouts import LAYOUTS
from spectra_cli.extract.models.transformers.moe import MIXTURE
from spectra_cli.extract.protocols import CheckpointHeader, ModelFamily

FAMILIES: dict[str, ModelFamily] = {
    "nanogpt": NANOGPT,
    "nanochat": NANOCHAT,
    **LAYOUTS,
    "moe": MIXTURE,
    "generic": GENERIC,
}


def find_family(header: CheckpointHeader) -> ModelFamily:
    """The first family that reads such a checkpoint.

    Raises:
        ModelError: none does, with what was seen.
    """
    for family in FAMILIES.values():
        if family.recognises(header):
            return family
    names = ", ".join(sorted(header.tensors)[:8]) or "none"
    raise ModelError(
        f"{header.ref.uri}: no model family reads it: format {header.ref.format!r}, "
        f"model_type {header.config.get('model_type')!r}, tensors {names}; "
        f"known families: {', '.join(FAMILIES)}"
    )
