"""What a configuration says against what is there: how weights are stored, and of which class they are.

The tensors decide, and the model type does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.core.words.names import listed
from spectra_cli.extract.protocols import CheckpointHeader, TensorHeader

QUANTIZATION = ("quantization_config", "compression_config")
_DTYPES = {str(t).removeprefix("torch."): t for t in (torch.float32, torch.float16, torch.bfloat16)}
# methods under which plain weights are rounded in each forward pass, as they were in training
_IN_EACH_PASS = ("bitnet",)
_NUM_NAMED = 4
# what transformers writes behind the name of an architecture: LlamaModel, LlamaForCausalLM, GPT2LMHeadModel
_PURPOSE = re.compile(r"(For[A-Z]\w*|LMHeadModel|LMHead|DoubleHeadsModel|PreTrainedModel|Model)$")


def precision_claims(header: CheckpointHeader, *, unread: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """A notice for each claim that the tensors contradict; none where they agree.

    Args:
        header: of the checkpoint; unread: tensors that are no weights (masks that old versions stored).

    Raises:
        ModelError: the weights are quantised, or would be in each forward pass.
    """
    config = header.config
    tensors = {name: tensor for name, tensor in header.tensors.items() if name not in unread}
    stated = next((config[name] for name in QUANTIZATION if config.get(name)), None)
    notices: tuple[str, ...] = () if stated is None else (_plain_in_spite_of(header, stated, tensors),)
    claimed = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.")
    stored = {tensor.dtype for tensor in tensors.values() if tensor.dtype.is_floating_point}
    if claimed in _DTYPES and stored and _DTYPES[claimed] not in stored:
        kinds = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in stored))
        notices += (f"config.json says {claimed}, and no tensor is stored so: they are {kinds}",)
    return notices


def _plain_in_spite_of(header: CheckpointHeader, stated: Any, tensors: Mapping[str, TensorHeader]) -> str:
    """What to say of a quantisation that the tensors show nothing of."""
    where = header.ref.uri
    method = str(stated.get("quant_method", "unnamed") if isinstance(stated, Mapping) else "unnamed")
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    quantised = {name: t for name, t in dtypes.items() if not (t.is_floating_point and t.itemsize >= 2)}
    if quantised:
        found = [f"{name} ({str(t).removeprefix('torch.')})" for name, t in quantised.items()]
        raise ModelError(
            f"{where}: quantised weights ({method}) are not read: {listed(found, _NUM_NAMED)}; save it "
            "dequantised first"
        )
    if method in _IN_EACH_PASS:
        raise ModelError(
            f"{where}: {method} rounds weights and activations in each forward pass, and what is stored is "
            "not what the model computes with; it cannot be measured"
        )
    return (
        f"config.json has a quantization_config ({method}), and all {len(tensors)} tensors are plain "
        "floating-point numbers: read as they are stored"
    )


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
