"""Checkpoints that one process saved without the pieces of the others, told by their shapes and names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.words.names import listed
from spectra_cli.extract.protocols import TensorHeader

# one parameter of FSDP that holds many, end to end
_FLAT = re.compile(r"(^|\.)_?flat_param(_\d+)?$")
_NUM_NAMED = 4


def require_gathered(tensors: Mapping[str, TensorHeader], *, where: str) -> None:
    """Nothing, if no tensor is a place left empty (ZeRO-3, FSDP) or a flattened piece (FSDP).

    Raises:
        CheckpointError: some are, with how to save whole ones.
    """
    empty = [name for name, header in tensors.items() if header.shape == (0,)]
    flat = [name for name in tensors if _FLAT.search(name)]
    if not empty and not flat:
        return
    what = "empty, of shape (0,)" if empty else "flattened pieces of parameters"
    names = empty or flat
    raise CheckpointError(
        f"{where}: {len(names)} of {len(tensors)} tensors are {what}: {listed(names, _NUM_NAMED)}. "
        "It was saved without gathering the weights of all processes (ZeRO-3 or FSDP). Save it again with "
        "stage3_gather_16bit_weights_on_model_save (DeepSpeed) or a full state dict (FSDP: "
        "fsdp_state_dict_type FULL_STATE_DICT), or convert the shards beside it: zero_to_fp32.py for "
        "DeepSpeed, `accelerate merge-weights` for FSDP"
    )
