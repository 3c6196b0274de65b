"""The identity of a checkpoint's content, whatever file format holds it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError

_CHUNK_BYTES = 1 << 26


def state_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 over the sorted names, dtypes, shapes and contents of a state dict.

    `sha256(name, dtype, shape, sha256(row-major bytes))`, one line a tensor. Tied tensors are read
    once but written under every name, so that a file format which stores them twice gives the same
    digest.

    Args:
        state: name -> dense CPU tensor.

    Returns:
        64 hexadecimal digits.

    Raises:
        CheckpointError: a tensor without readable dense content (sparse, quantised, on meta).
    """
    for name, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise CheckpointError(
                f"{name}: a {tensor.layout} tensor of {tensor.dtype} on {tensor.device} has no content "
                "to digest; expected a dense tensor on the CPU"
            )
    distinct = {_place(tensor): tensor for tensor in state.values()}
    # hashlib releases the GIL, so that threads hash at the speed of the disk or the memory.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        contents = dict(zip(distinct, pool.map(_content_digest, distinct.values()), strict=True))
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0{contents[_place(tensor)]}\n".encode())
    return digest.hexdigest()


def _place(tensor: Tensor) -> tuple[int, torch.dtype, tuple[int, ...], tuple[int, ...]]:
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride())


def _content_digest(tensor: Tensor) -> str:
    digest = hashlib.sha256()
    for chunk in chunks(tensor.detach()):
        digest.update(chunk.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def same_content(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, element for element; no more of them is read than shows that.

    >>> same_content(torch.ones(2), torch.ones(2)), same_content(torch.ones(2), torch.ones(3))
    (True, False)
    """
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if _place(one) == _place(other):
        return True
    return all(map(torch.equal, chunks(one.detach()), chunks(other.detach())))


def chunks(tensor: Tensor) -> Iterator[Tensor]:
    """Pieces along the first dimension: a transposed tensor is never copied whole."""
    if tensor.numel() == 0:
        return
    if tensor.ndim == 0:
        yield tensor
        return
    row_bytes = tensor.element_size() * (tensor.numel() // tensor.shape[0])
    num_rows = max(1, _CHUNK_BYTES // row_bytes)
    for start in range(0, tensor.shape[0], num_rows):
        yield tensor[start : start + num_rows]
