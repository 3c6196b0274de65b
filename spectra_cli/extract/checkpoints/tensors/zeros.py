"""Checkpoints whose weights are all zero: saved before they were filled, or a file that lost its content."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.digest import chunks

_NUM_NAMED = 3


def require_some_values(state: Mapping[str, Tensor], *, where: str) -> None:
    """Nothing, if any weight is not zero: a healthy checkpoint costs a look at its first tensor.

    Args:
        state: all tensors of a model, or those that are never zero together.
        where: the checkpoint, for the message.

    Raises:
        CheckpointError: they hold nothing but zeros.
    """
    weights = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    if not weights or any(_has_values(tensor) for tensor in weights.values()):
        return
    names = list(weights)
    named = " and ".join(names) if len(names) <= _NUM_NAMED else f"all {len(names)} of its tensors"
    raise CheckpointError(
        f"{where}: {named} hold nothing but zeros: it was saved before its weights were there, or its file "
        "lost them (preallocated, or a copy cut off); copy or save it again"
    )


def _has_values(tensor: Tensor) -> bool:
    # 8-bit floating point has no `any`
    return any(
        bool((chunk.float() if chunk.dtype.itemsize == 1 else chunk).any())
        for chunk in chunks(tensor.detach())
    )
