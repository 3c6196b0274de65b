"""Safetensors files: names, shapes and dtypes from the header, and the tensors."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spectra_cli.core.bounded_text import parse_json
from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.stored_file import Pages, Range, StoredFile, is_possible
from spectra_cli.extract.protocols import TensorHeader

# The limit of the reference implementation.
MAX_HEADER_BYTES = 100_000_000

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A tensor, and the bytes of the data that are its own."""

    header: TensorHeader
    begin: int
    end: int


def read_safetensors_header(path: Path) -> dict[str, TensorHeader]:
    """The tensors that a safetensors file holds, from its first bytes alone.

    Args:
        path: the file: 8 bytes length (little-endian), that many bytes of JSON, then the data.

    Raises:
        CheckpointError: half-written, damaged, or claiming more than the file has.

    Source: the safetensors format description (8-byte length, JSON header, data offsets).
    """
    with _opened(path) as file:
        return {name: placed.header for name, placed in _placed(file)[0].items()}


def read_safetensors(path: Path, *, only: Collection[str] | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or only some of them, with room for the data taken once.

    Raises:
        CheckpointError: as `read_safetensors_header`, or truncated meanwhile.
    """
    with _opened(path) as file:
        placed, begin = _placed(file)
        tensors = {name: tensor for name, tensor in placed.items() if only is None or name in only}
        pages = Pages(file, begin, file.size - begin)
        pages.fill(Range(begin=tensor.begin, end=tensor.end) for tensor in tensors.values())
    return {name: _tensor(pages.content[t.begin : t.end], t.header) for name, t in tensors.items()}


def _tensor(content: Tensor, header: TensorHeader) -> Tensor:
    if content.data_ptr() % header.dtype.itemsize:
        content = content.clone()  # bytes of another tensor's size lie before it
    return content.view(header.dtype).view(header.shape)


def _opened(path: Path) -> StoredFile:
    try:
        return StoredFile(path)
    except OSError as error:
        raise CheckpointError(f"{path}: its safetensors header cannot be read: {error}") from error


def _placed(file: StoredFile) -> tuple[dict[str, _Placed], int]:
    """The tensors of an open file, and the byte at which its data begin."""
    path, size = file.path, file.size
    length = int.from_bytes(file.read(0, min(size, 8)), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
        raise CheckpointError(
            f"{path}: header of {length} bytes claimed in a file of {size}: half-written or not "
            "a safetensors file; copy or save it again"
        )
    try:
        entries = parse_json(file.read(8, length))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its safetensors header cannot be read: {error}") from error
    if not isinstance(entries, dict):
        raise CheckpointError(f"{path}: the safetensors header is not a JSON object")
    data_bytes = size - 8 - length
    tensors = {
        name: _placed_tensor(path, name, entry, data_bytes)
        for name, entry in entries.items()
        if name != "__metadata__"
    }
    claimed = sum(tensor.end - tensor.begin for tensor in tensors.values())
    if claimed != data_bytes:
        raise CheckpointError(
            f"{path}: {claimed} bytes of tensors claimed, {data_bytes} in the file; copy or save it again"
        )
    return tensors, 8 + length


def _placed_tensor(path: Path, name: str, entry: Any, data_bytes: int) -> _Placed:
    try:
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        placed = is_possible((begin,)) and is_possible((end,))
        well_formed = isinstance(dtype, str) and is_possible(shape) and placed
    except (KeyError, TypeError, ValueError):
        well_formed = False
    if not well_formed:
        raise CheckpointError(f"{path}: tensor {name!r} has a malformed header: {entry!r:.200}")
    if dtype not in DTYPES:
        raise CheckpointError(
            f"{path}: tensor {name!r} has dtype {dtype!r}; those that can be measured are {', '.join(DTYPES)}"
        )
    header = TensorHeader(shape=shape, dtype=DTYPES[dtype])
    expected = math.prod(shape) * header.dtype.itemsize
    if end - begin != expected or end > data_bytes:
        raise CheckpointError(
            f"{path}: tensor {name!r} of shape {shape} and dtype {dtype} needs {expected} bytes, but "
            f"claims bytes {begin} to {end} of {data_bytes}; copy or save it again"
        )
    return _Placed(header=header, begin=begin, end=end)
