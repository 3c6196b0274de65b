"""Model families by name, in the order in which they are tried."""

from __future__ import annotations

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.layouts.bloom import BLOOM
from spectra_cli.extract.models.layouts.codegen import CODEGEN
from spectra_cli.extract.models.layouts.falcon import FALCON
from spectra_cli.extract.models.layouts.glm import GLM
from spectra_cli.extract.models.layouts.gpt2 import GPT2
from spectra_cli.extract.models.layouts.gpt_bigcode import GPT_BIGCODE
from spectra_cli.extract.models.layouts.gpt_neo import GPT_NEO
from spectra_cli.extract.models.layouts.gpt_neox import GPT_NEOX
from spectra_cli.extract.models.layouts.gptj import GPTJ
from spectra_cli.extract.models.layouts.llama import LLAMA
from spectra_cli.extract.models.layouts.mpt import MPT
from spectra_cli.extract.models.layouts.nemotron import NEMOTRON
from spectra_cli.extract.models.layouts.opt import OPT
from spectra_cli.extract.models.layouts.phi import PHI
from spectra_cli.extract.models.layouts.phi3 import PHI3
from spectra_cli.extract.models.layouts.starcoder2 import STARCODER2
from spectra_cli.extract.models.nanochat.family import NANOCHAT
from spectra_cli.extract.models.nanogpt.family import NANOGPT
from spectra_cli.extract.models.transformers.generic import GENERIC
from spectra_cli.extract.models.transformers.moe import MIXTURE
from spectra_cli.extract.protocols import CheckpointHeader, ModelFamily

FAMILIES: dict[str, ModelFamily] = {
    "nanogpt": NANOGPT,
    "nanochat": NANOCHAT,
    "llama": LLAMA,
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
    "gpt_neo": GPT_NEO,
    "gptj": GPTJ,
    "gpt_bigcode": GPT_BIGCODE,
    "starcoder2": STARCODER2,
    "codegen": CODEGEN,
    "opt": OPT,
    "bloom": BLOOM,
    "falcon": FALCON,
    "mpt": MPT,
    "phi": PHI,
    "phi3": PHI3,
    "glm": GLM,
    "nemotron": NEMOTRON,
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
