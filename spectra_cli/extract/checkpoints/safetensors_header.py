"""The header of a safetensors file: names, shapes and dtypes without the data."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.stated_shape import is_possible
from spectra_cli.extract.protocols import TensorHeader

# The limit of the reference implementation.
_MAX_HEADER_BYTES = 100_000_000

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


def read_safetensors_header(path: Path) -> dict[str, TensorHeader]:
    """The tensors that a safetensors file holds, from its first bytes alone.

    Args:
        path: the file: 8 bytes length (little-endian), that many bytes of JSON, then the data.

    Raises:
        CheckpointError: half-written, damaged, or claiming more than the file has.

    Source: the safetensors format description (8-byte length, JSON header, data offsets).
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
                raise CheckpointError(
                    f"{path}: header of {length} bytes claimed in a file of {size}: half-written or not "
                    "a safetensors file; copy or save it again"
                )
            entries = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its safetensors header cannot be read: {error}") from error
    if not isinstance(entries, dict):
        raise CheckpointError(f"{path}: the safetensors header is not a JSON object")
    data_bytes = size - 8 - length
    headers = {
        name: _tensor_header(path, name, entry, data_bytes)
        for name, entry in entries.items()
        if name != "__metadata__"
    }
    claimed = sum(math.prod(header.shape) * header.dtype.itemsize for header in headers.values())
    if claimed != data_bytes:
        raise CheckpointError(
            f"{path}: {claimed} bytes of tensors claimed, {data_bytes} in the file; copy or save it again"
        )
    return headers


def _tensor_header(path: Path, name: str, entry: Any, data_bytes: int) -> TensorHeader:
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
    return header
