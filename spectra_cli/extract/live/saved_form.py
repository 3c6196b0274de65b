"""What a live module would be saved as: its tensors under the names of a checkpoint, and its configuration.

The tensors are copies on the CPU. The module itself is never run, hooked, moved or switched.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from torch import Tensor, nn

from spectra_cli.core.errors import ModelError, UsageError
from spectra_cli.extract.checkpoints.tensors.wrappers import unwrapped

_NANOGPT = ("n_layer", "n_head", "n_embd")
_WHOLE = "Gather it, or save a checkpoint and scan that"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedForm:
    """A model as a checkpoint has it.

    Attributes:
        format: of the checkpoints whose names and configuration these are, as in the registry.
        config: as the format's headers have it; state: name -> copy on the CPU, tied ones one tensor.
        notices: about wrappers whose names were taken off.
    """

    format: str
    config: Mapping[str, Any]
    state: Mapping[str, Tensor]
    notices: tuple[str, ...] = ()


def saved_form(module: nn.Module) -> SavedForm:
    """The module as its own training stack would save it.

    Raises:
        UsageError: it is no module.
        ModelError: a kind of module that is not known, one with adapters, or one that holds shards.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"model= is of type {type(module).__name__}; expected a torch.nn.Module, or the name of a "
            "builder, package.module:function"
        )
    from transformers import PreTrainedModel

    model = _inner(module)
    _require_whole(model)
    if isinstance(model, PreTrainedModel):
        return _of_transformers(model)
    return _of_nanogpt(model)


def _inner(module: nn.Module) -> nn.Module:
    """The module inside `torch.compile` and data-parallel wrappers."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(module, wrappers):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def _require_whole(model: nn.Module) -> None:
    if getattr(model, "_hf_peft_config_loaded", False) or hasattr(model, "peft_config"):
        raise ModelError(
            f"{type(model).__name__} carries adapters, which a live scan does not merge: save them, and scan "
            "the folder (docs/how-to/scan-adapters.md)"
        )
    for name, parameter in model.named_parameters():
        if hasattr(parameter, "ds_id") or hasattr(parameter, "to_local") or parameter.is_meta:
            raise ModelError(
                f"{name} is a shard, or not in memory: a live scan reads whole tensors. {_WHOLE}"
            )


def _of_transformers(model: Any) -> SavedForm:
    from transformers.core_model_loading import revert_weight_conversion
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    state = dict(model.state_dict())
    for name in model._keys_to_ignore_on_save or ():
        state.pop(name, None)
    saved = revert_weight_conversion(model, remove_tied_weights_from_state_dict(_copied(state), model))
    config = copy.deepcopy(model.config)
    config.dtype = str(model.dtype).removeprefix("torch.")
    config.architectures = [type(model).__name__]
    renamed, notices = unwrapped(saved)
    stated = json.loads(config.to_json_string(use_diff=True))
    return SavedForm(format="huggingface", config=stated, state=renamed, notices=notices)


def _of_nanogpt(model: nn.Module) -> SavedForm:
    config: Any = getattr(model, "config", None)
    stated = asdict(config) if is_dataclass(config) and not isinstance(config, type) else None
    if stated is None or not all(name in stated for name in _NANOGPT):
        raise ModelError(
            f"{type(model).__module__}.{type(model).__qualname__} is no model that a live scan knows; "
            f"expected one of transformers, or a nanoGPT whose .config gives {', '.join(_NANOGPT)}. Save it, "
            "and scan the file with a builder of yours (docs/how-to/scan-your-own-model.md)"
        )
    renamed, notices = unwrapped(_copied(model.state_dict()))
    config = {**stated, "layout": "nanogpt", "file_family": ""}
    return SavedForm(format="nanogpt", config=config, state=renamed, notices=notices)


def _copied(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Copies on the CPU; tensors that were one stay one."""
    made: dict[tuple[Any, ...], Tensor] = {}
    copies: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            continue
        place = (tensor.data_ptr(), tensor.device, tensor.dtype, tuple(tensor.shape), tensor.stride())
        if place not in made:
            made[place] = tensor.detach().to("cpu", copy=True).contiguous()
        copies[name] = made[place]
    return copies
