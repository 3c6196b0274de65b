"""A pickled payload seen as a state dict: its tensors, their headers, their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.protocols import TensorHeader


def tensors_of(payload: object, path: Path) -> dict[str, Tensor]:
    """The state dict that `payload` is, parameters as plain tensors.

    Raises:
        CheckpointError: it is not a mapping of names to tensors, or one of them claims more bytes than the
            file has.
    """
    if not isinstance(payload, Mapping):
        raise CheckpointError(f"{path}: expected a dict of tensors, found {type(payload).__name__}")
    strange = [
        f"{name!r} ({type(value).__name__})"
        for name, value in payload.items()
        if not isinstance(value, Tensor) or not _has_plain_numbers(value)
    ]
    if strange or not payload:
        found = ", ".join(strange[:10]) or "an empty dict"
        raise CheckpointError(f"{path}: expected a dict of dense tensors by name, found {found}")
    size = path.stat().st_size
    for name, tensor in payload.items():
        # one stored number may pass for any number of them
        if tensor.nbytes > size:
            raise CheckpointError(
                f"{path}: {name} of shape {tuple(tensor.shape)} claims {tensor.nbytes} bytes in a file of "
                f"{size}; save it again as a dense tensor"
            )
    state = {str(name): tensor.detach() for name, tensor in payload.items()}
    if tensor_bytes(state) > size:
        raise CheckpointError(
            f"{path}: its {counted(len(state), 'tensor')} {agreed(len(state), 'claims', 'claim')} "
            f"{tensor_bytes(state)} bytes in a file of {size}; save "
            "them again as dense tensors"
        )
    return state


def _has_plain_numbers(tensor: Tensor) -> bool:
    dense = tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_quantized
    return dense and tensor.device.type == "cpu"


def header_of(tensor: Tensor) -> TensorHeader:
    """Shape and dtype of a tensor."""
    return TensorHeader(shape=tuple(tensor.shape), dtype=tensor.dtype)


def tensor_bytes(state: Mapping[str, Tensor]) -> int:
    """Bytes of tensor data, tied tensors once."""
    return sum({(tensor.data_ptr(), tensor.nbytes): tensor.nbytes for tensor in state.values()}.values())
