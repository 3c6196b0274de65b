"""The class that a configuration names, against the one that its model type stands for."""

from __future__ import annotations

import re

from spectra_cli.extract.protocols import CheckpointHeader

# what transformers writes behind the name of an architecture: LlamaModel, LlamaForCausalLM, GPT2LMHeadModel
_PURPOSE = re.compile(r"(For[A-Z]\w*|LMHeadModel|LMHead|DoubleHeadsModel|PreTrainedModel|Model)$")


def architecture_notices(header: CheckpointHeader, built: str) -> tuple[str, ...]:
    """A notice where `architectures` names classes of another architecture alone; `model_type` counts.

    Args:
        header: of the checkpoint; built: name of the class that was built.
    """
    stated = header.config.get("architectures")
    named = [str(name) for name in stated] if isinstance(stated, list) else []
    if not named or header.config.get("auto_map") or _stem(built) in map(_stem, named):
        return ()
    said = ", ".join(named)
    built_as = f"built as {built}, which the latter means"
    return (f"config.json says architectures {said:.80}, and model_type {header.model_type}: {built_as}",)


def _stem(name: str) -> str:
    return _PURPOSE.sub("", name).lower()
