"""The weight files of a Hugging Face folder: which they are, their headers, their tensors."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from spectra_cli.core.errors import CheckpointError, NoCheckpointError
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.checkpoints.files.json_object import read_json_object
from spectra_cli.extract.checkpoints.files.pickles import open_pickle
from spectra_cli.extract.checkpoints.files.safetensors_header import read_safetensors, read_safetensors_header
from spectra_cli.extract.checkpoints.files.state_dicts import header_of, tensor_bytes, tensors_of
from spectra_cli.extract.protocols import TensorHeader

# In the order in which transformers looks for them.
WEIGHT_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

Stored = TypeVar("Stored")


def has_weights(folder: Path) -> bool:
    """Whether any of the files is there that weights are stored as."""
    return any((folder / name).is_file() for name in WEIGHT_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The files that hold the tensors of one checkpoint.

    Attributes:
        folder: the checkpoint.
        index: the file that says which shard holds which tensor, None for a single file.
        files: weight files in the order of their names.
        placed: tensor name -> file name, as the index says; empty without one.
        notices: other weight files in the folder, which are not read.
    """

    folder: Path
    index: Path | None
    files: tuple[Path, ...]
    placed: Mapping[str, str]
    notices: tuple[str, ...]


def find_weights(folder: Path) -> WeightFiles:
    """The weight files of `folder`, every one present and inside it.

    Raises:
        CheckpointError: none, an index that names a missing file, or one that leads elsewhere.
    """
    present = [name for name in WEIGHT_NAMES if (folder / name).is_file()]
    if not present:
        found = ", ".join(sorted(child.name for child in folder.iterdir())) or "nothing"
        raise NoCheckpointError(
            f"{folder}: no weights; expected one of {', '.join(WEIGHT_NAMES)}, found {found}. "
            "It may still be being written, or have been cleaned up"
        )
    chosen, *others = present
    notices = tuple(f"{other} is not read: {chosen} comes first" for other in others)
    path = folder / chosen
    if path.suffix != ".json":
        return WeightFiles(folder=folder, index=None, files=(path,), placed={}, notices=notices)
    placed = read_json_object(path).get("weight_map")
    if not isinstance(placed, dict) or not placed or not all(isinstance(f, str) for f in placed.values()):
        raise CheckpointError(f"{path}: expected `weight_map` to map tensor names to file names")
    names = sorted(set(placed.values()))
    files = tuple(_shard(path, name) for name in names)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {counted(len(files), 'shard')} named by {chosen} "
            f"{agreed(len(missing))} missing: "
            f"{', '.join(missing)}. It is half-written: copy or save it again"
        )
    return WeightFiles(folder=folder, index=path, files=files, placed=placed, notices=notices)


def _shard(index: Path, name: str) -> Path:
    """The shard that an index names: a plain name, which must not lead out of the folder.

    The one way out is the hub's cache, whose `snapshots/REVISION/` links to the `blobs/` beside it, and
    these, since huggingface_hub 2, to the `blobs/` that all models of the cache share.
    """
    # half of a surrogate pair, which JSON can write, is in no file's name
    is_text = not any("\ud800" <= character <= "\udfff" for character in name)
    if name in ("", ".", "..") or not is_text or any(character in name for character in "/\\:\0"):
        raise CheckpointError(
            f"{index}: names the shard {name!r}; expected a plain file name in the same folder. "
            "Nothing outside the folder is read"
        )
    shard = index.parent / name
    folder, target = (Path(os.path.realpath(path)) for path in (index.parent, shard))
    homes = [folder]
    if folder.parent.name == "snapshots":
        homes += [folder.parent.parent / "blobs", folder.parent.parent.parent / "blobs"]
    if not any(target.is_relative_to(home) for home in homes):
        raise CheckpointError(
            f"{index}: shard {name!r} is a link to {target}, outside the folder. "
            "Nothing outside the folder is read: copy the file into it"
        )
    if not name.endswith((".safetensors", ".bin")):
        raise CheckpointError(f"{index}: shard {name!r} is neither .safetensors nor .bin")
    return shard


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightHeaders:
    """Headers of every tensor, the bytes of their data (tied ones once), and what was noticed."""

    tensors: dict[str, TensorHeader]
    num_bytes: int
    notices: tuple[str, ...]


def read_headers(weights: WeightFiles) -> WeightHeaders:
    """Names, shapes and dtypes of all tensors; no tensor data is read.

    Raises:
        CheckpointError: a damaged file, or shards that contradict their index.
        UnsafePickleError: a `.bin` that needs types outside the allow-list.
    """
    sizes: list[int] = []

    def headers(path: Path) -> Mapping[str, TensorHeader]:
        if path.suffix == ".safetensors":
            found = read_safetensors_header(path)
            sizes.extend(math.prod(h.shape) * h.dtype.itemsize for h in found.values())
            return found
        with open_pickle(path) as stored:
            state = tensors_of(stored.content, path)
        sizes.append(tensor_bytes(state))
        return {name: header_of(tensor) for name, tensor in state.items()}

    tensors, notices = _merged(weights, headers)
    return WeightHeaders(tensors=tensors, num_bytes=sum(sizes), notices=weights.notices + notices)


def open_tensors(weights: WeightFiles) -> dict[str, Tensor]:
    """All tensors as stored.

    Raises:
        CheckpointError, UnsafePickleError: as `read_headers`.
    """

    def tensors(path: Path) -> Mapping[str, Tensor]:
        if path.suffix == ".safetensors":
            return read_safetensors(path)
        with open_pickle(path) as stored:
            state = tensors_of(stored.content, path)
            stored.read(state.values())
        return state

    return _merged(weights, tensors)[0]


def open_some(weights: WeightFiles, names: Collection[str]) -> dict[str, Tensor]:
    """A few tensors as stored, and nothing else of the files read.

    Raises:
        CheckpointError, UnsafePickleError: as `read_headers`.
    """
    found: dict[str, Tensor] = {}
    for path in weights.files:
        if path.suffix == ".safetensors":
            found |= read_safetensors(path, only=names)
            continue
        with open_pickle(path) as stored:
            own = {name: t for name, t in tensors_of(stored.content, path).items() if name in names}
            stored.read(own.values())
        found |= own
    return found


def _merged(
    weights: WeightFiles, read: Callable[[Path], Mapping[str, Stored]]
) -> tuple[dict[str, Stored], tuple[str, ...]]:
    merged: dict[str, Stored] = {}
    holder: dict[str, str] = {}
    for file in weights.files:
        for name, value in read(file).items():
            if name in merged:
                raise CheckpointError(f"{file}: tensor {name!r} is also in {holder[name]}; expected it once")
            merged[name], holder[name] = value, file.name
    if weights.index is None:
        return merged, ()
    wrong = sorted(name for name, file in weights.placed.items() if holder.get(name) != file)
    if wrong:
        raise CheckpointError(
            f"{weights.index}: {counted(len(wrong), 'tensor')} {agreed(len(wrong))} not in the shards "
            f"it names: {', '.join(wrong[:10])}. "
            "Index and shards are of different checkpoints, or half-written: save it again"
        )
    extra = sorted(set(merged) - set(weights.placed))
    notices = (f"in the shards but not in their index, read all the same: {', '.join(extra)}",)
    return merged, notices if extra else ()
