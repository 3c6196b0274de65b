"""An adapter merged into the weights of its base, in float32 whatever they are stored in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.adapter.placement import AdaptedMatrix, Placement
from spectra_cli.extract.protocols import Rescaling, TensorHeader, WeightUpdate


def update_of(
    matrix: AdaptedMatrix, tensors: Mapping[str, Tensor], base: Mapping[str, Tensor]
) -> WeightUpdate:
    """The update of one matrix, oriented as the base stores it.

    Args:
        matrix: which one.
        tensors: of the adapter.
        base: weights before the update; read for DoRA alone.
    """
    a, b = tensors[matrix.a], tensors[matrix.b]
    left, right = (a.T, b.T) if matrix.flipped else (b, a)
    if not matrix.magnitude:
        return WeightUpdate(left=left, right=right, scale=matrix.scale)
    # A norm for each output: a row, or a column where the weight is stored the other way round.
    norms = tensors[matrix.magnitude]
    magnitude = norms[None, :] if matrix.flipped else norms[:, None]
    rescaling = Rescaling(magnitude=magnitude, base=base[matrix.parameter])
    return WeightUpdate(left=left, right=right, scale=matrix.scale, rescaling=rescaling)


def merged_headers(
    placement: Placement, tensors: Mapping[str, TensorHeader], base: Mapping[str, TensorHeader]
) -> dict[str, TensorHeader]:
    """Shapes and dtypes of what `merge` returns."""
    found = {**base, **{name: base[source] for name, source in placement.copies.items()}}
    found |= {name: tensors[tensor] for name, tensor in placement.replaced.items()}
    for matrix in placement.adapted:
        for name in (matrix.parameter, *([_bias_of(matrix)] if matrix.bias else ())):
            if name not in found:
                raise CheckpointError(f"lora_bias needs {name}, which the base does not have")
            header = found[name]
            found[name] = TensorHeader(shape=header.shape, dtype=_dtype_for(header.dtype))
    return found


def merge(
    placement: Placement, tensors: Mapping[str, Tensor], base: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The base's tensors with the adapter's update in them; those it leaves alone stay as they were.

    Args:
        placement: where each tensor of the adapter belongs.
        tensors: of the adapter; base: of the model under it.
    """
    state = {**base, **{name: base[source] for name, source in placement.copies.items()}}
    state |= {name: tensors[tensor] for name, tensor in placement.replaced.items()}
    for matrix in placement.adapted:
        weight = state[matrix.parameter]
        update = update_of(matrix, tensors, state)
        state[matrix.parameter] = update.applied_to(weight, dtype=_dtype_for(weight.dtype))
        if matrix.bias:
            bias = state[_bias_of(matrix)]
            state[_bias_of(matrix)] = bias.to(_dtype_for(bias.dtype)) + matrix.scale * tensors[matrix.bias]
    return state


def _dtype_for(stored: torch.dtype) -> torch.dtype:
    return torch.promote_types(stored, torch.float32)


def _bias_of(matrix: AdaptedMatrix) -> str:
    return f"{matrix.parameter.removesuffix('.weight')}.bias"
