"""Model families by name, in the order in which they are tried."""

from __future__ import annotations

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.generic import GENERIC
from spectra_cli.extract.models.gpt2 import GPT2
from spectra_cli.extract.models.gpt_neox import GPT_NEOX
from spectra_cli.extract.models.llama import LLAMA
from spectra_cli.extract.models.nanogpt import NANOGPT
from spectra_cli.extract.protocols import CheckpointHeader, ModelFamily

FAMILIES: dict[str, ModelFamily] = {
    "nanogpt": NANOGPT,
    "llama": LLAMA,
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
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
