"""The `.metadata` of a torch.distributed.checkpoint folder, read without executing anything of it.

It is a plain pickle of a few dataclasses. Each becomes a record that keeps its fields and does nothing;
any other type refuses the file.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.files.pickle_opcodes import HostilePickle, check_pickle
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile, is_possible

METADATA = ".metadata"
_MOST_BYTES = 1 << 28

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A box of a tensor and the bytes that hold it.

    Attributes:
        offsets, sizes: the box, one number a dimension.
        file: plain name of a file in the same folder; begin, length: its bytes there.
    """

    offsets: Shape
    sizes: Shape
    file: str
    begin: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedTensor:
    """A tensor as it lies in the folder; `chunks` tile it, without empty ones."""

    shape: Shape
    dtype: torch.dtype
    chunks: tuple[Chunk, ...]

    @property
    def num_bytes(self) -> int:
        """Of its data."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntries:
    """What a folder holds.

    Attributes:
        tensors: stored key -> tensor.
        paths: stored key, of tensors and of everything else -> keys of the nested state dict that was
            saved (`("model", "lm_head.weight")`).
    """

    tensors: Mapping[str, ShardedTensor]
    paths: Mapping[str, tuple[str, ...]]


def read_metadata(folder: Path) -> StoredEntries:
    """What the folder holds, checked: every tensor tiled by chunks, each in a file of the folder.

    Raises:
        CheckpointError: no `.metadata`, a damaged one, or one that contradicts itself.
        UnsafePickleError: it needs types outside the allow-list; nothing of it was executed.
    """
    path = folder / METADATA
    if not path.is_file():
        raise CheckpointError(
            f"{folder}: no {METADATA}, which is written last: the save is unfinished or was interrupted; "
            "wait for it, or delete the folder"
        )
    metadata = _unpickled(path)
    try:
        return _entries(metadata)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not the metadata of torch.distributed.checkpoint as known here: {error}; save it again"
        ) from error


class _Record:
    """Stands in for a pickled dataclass: its fields, none of its code."""

    kind = ""
    fields: Any = None

    def __setstate__(self, state: Any) -> None:
        self.fields = state


_METADATA_MODULES = (
    "torch.distributed.checkpoint.metadata",
    "torch.distributed._shard.sharded_tensor.metadata",  # torch 2.0 to 2.2
)
_RECORDS = (
    "Metadata",
    "TensorStorageMetadata",
    "BytesStorageMetadata",
    "ChunkStorageMetadata",
    "TensorProperties",
    "MetadataIndex",
    "StorageMeta",
)
_FILESYSTEM = "torch.distributed.checkpoint.filesystem"


def _allowed() -> dict[str, Callable[..., Any]]:
    """Pickled name -> what is called in its place; made anew for each file, which may write into it."""

    def record(kind: str) -> type[_Record]:
        return type(kind, (_Record,), {"kind": kind})

    def nothing(*_arguments: object) -> None:
        return None

    enums = {"_MEM_FORMAT_ENCODING", "MEM_FORMAT_ENCODING"}
    return {
        **{f"{module}.{kind}": record(kind) for module in _METADATA_MODULES for kind in _RECORDS},
        **{f"{module}.{enum}": nothing for module in _METADATA_MODULES for enum in enums},
        f"{_FILESYSTEM}._StorageInfo": record("_StorageInfo"),
        f"{_FILESYSTEM}._StoragePrefix": record("_StoragePrefix"),
        "torch.Size": tuple,
        "torch.serialization._get_layout": nothing,
        "collections.OrderedDict": dict,
        **{
            f"{module}.{name}": nothing
            for module in ("pathlib", "pathlib._local")
            for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
        },
    }


class _MetadataUnpickler(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.refused = ""
        self._allowed = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        """The harmless stand-in of a type.

        Raises:
            pickle.UnpicklingError: there is none.
        """
        dtype = getattr(torch, name, None) if module == "torch" and name.isidentifier() else None
        if isinstance(dtype, torch.dtype):
            return dtype
        if f"{module}.{name}" not in self._allowed:
            self.refused = f"{module}.{name}"
            raise pickle.UnpicklingError(self.refused)
        return self._allowed[f"{module}.{name}"]


def _unpickled(path: Path) -> Any:
    with StoredFile(path) as file:
        if file.size > _MOST_BYTES:
            raise CheckpointError(f"{path}: {file.size} bytes; expected at most {_MOST_BYTES} of metadata")
        content = file.read(0, file.size)
    unpickler = _MetadataUnpickler(content)
    try:
        check_pickle(content)
        return unpickler.load()
    except HostilePickle as error:
        raise UnsafePickleError(f"{path}: {error}. Nothing of it was executed; save it again") from error
    except (
        *(pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, ImportError, LookupError),
        *(MemoryError, RuntimeError, TypeError, ValueError),
    ) as error:
        if unpickler.refused:
            raise UnsafePickleError(
                f"{path}: needs {unpickler.refused}, which is outside the allow-list. Nothing of it was "
                "executed. Expected what torch.distributed.checkpoint.save writes with its own planner"
            ) from error
        raise CheckpointError(f"{path}: a damaged pickle: {error}; copy or save it again") from error


def _entries(metadata: Any) -> StoredEntries:
    fields = _fields(metadata, "Metadata")
    placed: dict[tuple[str, Shape], Mapping[str, Any]] = {}
    for index, info in fields["storage_data"].items():
        address = _fields(index, "MetadataIndex")
        if address.get("offset") is not None:
            placed[address["fqn"], _shape(address["offset"])] = _fields(info, "_StorageInfo")
    tensors = {
        _text(key): _tensor(key, entry, placed)
        for key, entry in fields["state_dict_metadata"].items()
        if entry.kind != "BytesStorageMetadata"
    }
    paths = fields.get("planner_data")
    known = paths if isinstance(paths, dict) else {}
    return StoredEntries(
        tensors=tensors,
        paths={key: _path(known.get(key, (key,))) for key in fields["state_dict_metadata"]},
    )


def _tensor(key: str, entry: Any, placed: Mapping[tuple[str, Shape], Mapping[str, Any]]) -> ShardedTensor:
    fields = _fields(entry, "TensorStorageMetadata")
    properties = fields["properties"]
    dtype = properties.fields[0]
    if properties.kind != "TensorProperties" or not isinstance(dtype, torch.dtype):
        raise ValueError(f"{key} has no dtype")
    shape = _shape(fields["size"])
    boxes = [_fields(chunk, "ChunkStorageMetadata") for chunk in fields["chunks"]]
    chunks = tuple(
        _chunk(key, _shape(box["offsets"]), sizes, placed)
        for box in boxes
        if math.prod(sizes := _shape(box["sizes"])) > 0
    )
    _check_tiling(key, shape, chunks)
    for chunk in chunks:
        if math.prod(chunk.sizes) * dtype.itemsize > chunk.length:
            raise ValueError(
                f"the chunk of {key} of shape {chunk.sizes} is claimed to be in {chunk.length} bytes"
            )
    return ShardedTensor(shape=shape, dtype=dtype, chunks=chunks)


def _chunk(
    key: str, offsets: Shape, sizes: Shape, placed: Mapping[tuple[str, Shape], Mapping[str, Any]]
) -> Chunk:
    if (key, offsets) not in placed:
        raise ValueError(f"no file is named for the chunk of {key} at {offsets}")
    info = placed[key, offsets]
    if info.get("transform_descriptors"):
        raise ValueError(f"{key} was written through {info['transform_descriptors']}, which is not read")
    file, begin, length = _text(info["relative_path"]), _count(info["offset"]), _count(info["length"])
    if file in ("", ".", "..") or any(character in file for character in "/\\:\0"):
        raise ValueError(f"{key} is said to be in {file!r}; only files of the same folder are read")
    return Chunk(offsets=offsets, sizes=sizes, file=file, begin=begin, length=length)


def _check_tiling(key: str, shape: Shape, chunks: tuple[Chunk, ...]) -> None:
    """The boxes lie inside, none meets another, and their volumes add up."""
    if sum(math.prod(chunk.sizes) for chunk in chunks) != math.prod(shape):
        raise ValueError(f"the chunks of {key} do not fill its shape {shape}")
    active: list[Chunk] = []
    for chunk in sorted(chunks, key=lambda c: c.offsets[:1]):
        sides = list(zip(chunk.offsets, chunk.sizes, shape, strict=True))
        if any(offset + size > whole for offset, size, whole in sides):
            raise ValueError(f"a chunk of {key} at {chunk.offsets} reaches beyond its shape {shape}")
        active = [c for c in active if _end(c) > chunk.offsets[0]] if shape else active
        if any(_meet(chunk, other) for other in active):
            raise ValueError(f"two chunks of {key} overlap at {chunk.offsets}")
        active.append(chunk)


def _end(chunk: Chunk) -> int:
    return chunk.offsets[0] + chunk.sizes[0]


def _meet(first: Chunk, second: Chunk) -> bool:
    sides = zip(first.offsets, first.sizes, second.offsets, second.sizes, strict=True)
    return all(a < b + length_b and b < a + length_a for a, length_a, b, length_b in sides)


def _fields(record: Any, kind: str) -> Mapping[str, Any]:
    if not isinstance(record, _Record) or record.kind != kind or not isinstance(record.fields, dict):
        raise ValueError(f"expected {kind}, found {getattr(record, 'kind', type(record).__name__)}")
    return record.fields


def _shape(value: Any) -> Shape:
    if not isinstance(value, tuple) or not is_possible(value):
        raise ValueError(f"expected sizes, found {value!r:.80}")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"expected a number of bytes, found {value!r:.80}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a name, found {value!r:.80}")
    return value


def _path(value: Any) -> tuple[str, ...]:
    if not isinstance(value, tuple) or not value:
        raise ValueError(f"expected the keys of a nested dict, found {value!r:.80}")
    return tuple(map(str, value))
