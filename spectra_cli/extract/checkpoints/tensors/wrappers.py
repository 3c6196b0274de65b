"""What training wrappers leave in a checkpoint: names, taken off again; pieces of one process, refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.protocols import TensorHeader

Stored = TypeVar("Stored")

COMPILE_AND_DDP = ("_orig_mod", "module")
# of FSDP (its first form too), activation checkpointing, torch.compile, Lightning Fabric
_ANYWHERE = (
    "_fsdp_wrapped_module",
    "_fpw_module",
    "_checkpoint_wrapped_module",
    "_orig_mod",
    "_forward_module",
)
# what a wrapper may stand behind: the first part of a model, and of PEFT's names
_ANCHORS = ("base_model", "model")
# what torch.optim.swa_utils.AveragedModel keeps beside its `module`: how many models were averaged
_COUNT = "n_averaged"
# one parameter of FSDP that holds many, end to end
_FLAT = re.compile(r"(^|\.)_?flat_param(_\d+)?$")
_NUM_NAMED = 4


def unwrapped(
    state: Mapping[str, Stored], *, leading: tuple[str, ...] = COMPILE_AND_DDP
) -> tuple[dict[str, Stored], tuple[str, ...]]:
    """The state under its genuine names, and notices that say what was taken off.

    Leading components go in any order and as often as they occur, also behind `model` or PEFT's
    `base_model.model`; those that no genuine name contains go anywhere.

    Args:
        state: stored name -> anything.
        leading: components that are wrappers at the start of a name.

    Raises:
        CheckpointError: two stored names would become one.

    >>> unwrapped({"module._orig_mod.lm_head.weight": 0})
    ({'lm_head.weight': 0}, ('wrapper names removed from 1 of 1 tensor: _orig_mod, module',))
    """
    renamed: dict[str, Stored] = {}
    stored_as: dict[str, str] = {}
    removed: set[str] = set()
    num_renamed = 0
    for name, value in state.items():
        genuine, taken = _split(name, leading)
        if genuine in renamed:
            raise CheckpointError(
                f"two tensors are called {genuine!r} once wrapper names are removed, stored as "
                f"{stored_as[genuine]!r} and {name!r}; expected one copy of the model: save the one that is "
                "meant by itself"
            )
        renamed[genuine], stored_as[genuine] = value, name
        removed |= taken
        num_renamed += bool(taken)
    notices: tuple[str, ...] = ()
    if removed:
        names = ", ".join(sorted(removed))
        notices = (f"wrapper names removed from {num_renamed} of {counted(len(renamed), 'tensor')}: {names}",)
    if len(renamed) > 1 and renamed.pop(_COUNT, None) is not None:
        notices += (f"averaged weights (AveragedModel); their count {_COUNT} is no part of the model",)
    return renamed, notices


def _split(name: str, leading: tuple[str, ...]) -> tuple[str, set[str]]:
    components = name.split(".")
    kept: list[str] = []
    start = 0
    while start < len(components) - 1:
        part = components[start]
        if part in _ANCHORS and part not in leading:
            kept.append(part)
        elif part not in (*leading, *_ANYWHERE):
            break
        start += 1
    kept += [part for part in components[start:] if part not in _ANYWHERE]
    return ".".join(kept), set(components) - set(kept)


def require_gathered(tensors: Mapping[str, TensorHeader], *, where: str) -> None:
    """Nothing, if no tensor is a place left empty (ZeRO-3, FSDP) or a flattened piece (FSDP).

    Raises:
        CheckpointError: some are, with how to save whole ones.
    """
    empty = [name for name, header in tensors.items() if header.shape == (0,)]
    flat = [name for name in tensors if _FLAT.search(name)]
    if not empty and not flat:
        return
    what = "empty, of shape (0,)" if empty else "parameters in flattened pieces"
    names = empty or flat
    found = agreed(len(names)) if empty else agreed(len(names), "holds", "hold")
    raise CheckpointError(
        f"{where}: {len(names)} of {counted(len(tensors), 'tensor')} {found} {what}: "
        f"{listed(names, _NUM_NAMED)}. "
        "It was saved without gathering the weights of all processes (ZeRO-3 or FSDP). Save it again with "
        "stage3_gather_16bit_weights_on_model_save (DeepSpeed) or a full state dict (FSDP: "
        "fsdp_state_dict_type FULL_STATE_DICT), or convert the shards beside it: zero_to_fp32.py for "
        "DeepSpeed, `accelerate merge-weights` for FSDP"
    )
