"""Tensors of a torch.distributed.checkpoint folder, put together chunk by chunk.

Beyond the tensors themselves one chunk is held at a time. A chunk is a file of `torch.save` inside the
shard (read weights-only) or, in the newer form, an entry of safetensors inside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from spectra_cli.core.bounded_text import parse_json
from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.checkpoints.distributed.metadata import Chunk, ShardedTensor
from spectra_cli.extract.checkpoints.files.pickles import load_record
from spectra_cli.extract.checkpoints.files.safetensors_header import DTYPES, MAX_HEADER_BYTES
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile

_ZIP_MAGIC = b"PK\x03\x04"


def check_shards(folder: Path, tensors: Iterable[ShardedTensor]) -> list[Path]:
    """The files that hold the tensors, each present, inside the folder, and as long as it must be.

    Raises:
        CheckpointError: a missing shard, one that is too short, or a link that leads elsewhere.
    """
    ends: dict[str, int] = {}
    for tensor in tensors:
        for chunk in tensor.chunks:
            ends[chunk.file] = max(ends.get(chunk.file, 0), chunk.begin + chunk.length)
    files = {name: folder / name for name in sorted(ends)}
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {counted(len(files), 'shard')} {agreed(len(missing))} "
            f"missing: {', '.join(missing[:10])}. "
            "Each process of a job writes its own: gather those of all nodes in one folder"
        )
    for name, file in files.items():
        if not file.resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(
                f"{file}: a link to {file.resolve()}, outside the folder; copy the file into it"
            )
        if file.stat().st_size < ends[name]:
            raise CheckpointError(
                f"{file}: {file.stat().st_size} bytes, but the metadata places tensors up to byte "
                f"{ends[name]}: half-written; copy or save it again"
            )
    return list(files.values())


def read_tensor(folder: Path, name: str, stored: ShardedTensor) -> Tensor:
    """The whole tensor, on the CPU.

    Raises:
        CheckpointError: a damaged chunk, or one of another shape or dtype than the metadata says.
        UnsafePickleError: a chunk that needs types outside the allow-list.
    """
    if len(stored.chunks) == 1:
        return _read_chunk(folder, name, stored, stored.chunks[0])
    whole = torch.empty(stored.shape, dtype=stored.dtype)
    for chunk in stored.chunks:
        box = tuple(slice(o, o + n) for o, n in zip(chunk.offsets, chunk.sizes, strict=True))
        whole[box] = _read_chunk(folder, name, stored, chunk)
    return whole


def _read_chunk(folder: Path, name: str, stored: ShardedTensor, chunk: Chunk) -> Tensor:
    path = folder / chunk.file
    where = f"{path}: the chunk of {name} at byte {chunk.begin}"
    try:
        with StoredFile(path) as file:
            if file.read(chunk.begin, len(_ZIP_MAGIC)) == _ZIP_MAGIC:
                found = load_record(file, chunk.begin, chunk.length, where)
            else:
                found = _read_safetensors(file, name, stored, chunk)
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} cannot be read: {error}; copy or save it again") from error
    if not isinstance(found, Tensor) or found.layout is not torch.strided:
        raise CheckpointError(f"{where} is no dense tensor but {type(found).__name__}; save it again")
    if (tuple(found.shape), found.dtype) != (chunk.sizes, stored.dtype):
        raise CheckpointError(
            f"{where} is {found.dtype} of shape {tuple(found.shape)}, the metadata says {stored.dtype} of "
            f"shape {chunk.sizes}: shards and metadata are of different saves"
        )
    return found.detach()


def _read_safetensors(file: StoredFile, name: str, stored: ShardedTensor, chunk: Chunk) -> Tensor:
    """The entry of `name` in the safetensors block that starts at `chunk.begin`.

    Raises:
        ValueError, LookupError, TypeError: anything that does not fit.
    """
    # the chunk's length is that of its numbers alone; one block at the end of the file holds all chunks
    size = file.size
    length = int.from_bytes(file.read(chunk.begin, 8), "little")
    if length > min(size - chunk.begin - 8, MAX_HEADER_BYTES):
        raise ValueError(f"a header of {length} bytes is claimed in a file of {size}")
    header = parse_json(file.read(chunk.begin + 8, length))
    entry = header[name]
    begin, end = entry["data_offsets"]
    if (entry["shape"], DTYPES.get(entry["dtype"])) != (list(chunk.sizes), stored.dtype):
        raise ValueError(
            f"it is {entry['dtype']} of shape {entry['shape']}, the metadata says {stored.dtype} of shape "
            f"{list(chunk.sizes)}"
        )
    saved = parse_json(header["__metadata__"]["DCP_SHARDING_INFO"])[name]["saved_offsets"]
    if tuple(saved) != chunk.offsets:
        # one file holds one chunk a name: torch itself overwrites the others while writing
        raise ValueError(f"it holds the chunk at {saved}; the one at {list(chunk.offsets)} was overwritten")
    num_bytes = math.prod(chunk.sizes) * stored.dtype.itemsize
    if end - begin != num_bytes or begin < 0 or chunk.begin + 8 + length + end > size:
        raise ValueError(f"bytes {begin} to {end} are claimed where {num_bytes} are needed")
    tensor = torch.empty(chunk.sizes, dtype=stored.dtype)
    file.read_into(tensor.reshape(-1).view(torch.uint8).numpy().data, chunk.begin + 8 + length + begin)
    return tensor
