"""`torch.distributed.checkpoint` folders: what FSDP, torchtitan, Trainer and accelerate write.

The state dict that was saved may nest the model (`{"model": ..., "optimizer": ...}`); the model's group is
read, every other entry is counted and named. Where no config.json describes the model, names tell whose
it is: nanoGPT's go to the nanogpt family, Meta's Llama to transformers' (`torchtitan`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.training import TRAINING_VALUES
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.distributed.config import SavedConfig, describe
from spectra_cli.extract.checkpoints.distributed.entries import TOKENS_SEEN, ModelEntries, model_entries
from spectra_cli.extract.checkpoints.distributed.folder import FSDP_PREFIX, distributed_payload
from spectra_cli.extract.checkpoints.distributed.metadata import METADATA, ShardedTensor, read_metadata
from spectra_cli.extract.checkpoints.distributed.tensors import check_shards, read_tensor
from spectra_cli.extract.checkpoints.distributed.torchtitan import with_halves_rotated
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.files.weight_files import has_weights
from spectra_cli.extract.checkpoints.nanogpt.payload import ENDING, value_weights
from spectra_cli.extract.checkpoints.series.found import FoundRun, fingerprint, in_series_order, parse_step
from spectra_cli.extract.checkpoints.series.trainer_state import TRAINER_STATE, read_trainer_state
from spectra_cli.extract.checkpoints.tensors.stored_values import same_stored
from spectra_cli.extract.protocols import CheckpointHeader, TensorHeader

_FORMAT = "distributed"
_BELOW = ("checkpoint", "checkpoints")


class DistributedFormat:
    """Finds torch.distributed.checkpoint folders."""

    name = _FORMAT
    summary = (
        f"a folder of torch.distributed.checkpoint ({METADATA} and *.distcp, or {FSDP_PREFIX}_0/ with them), "
        "or a run folder with such children (step-100, checkpoint-500)"
    )

    def find(self, path: str) -> DistributedSource | None:
        """The checkpoints that `path` is, holds, or holds in `checkpoint/`; None if there are none."""
        given = Path(os.path.abspath(path))
        if not given.is_dir():
            return None
        if given.name.startswith(FSDP_PREFIX) and distributed_payload(given) == given:
            given = given.parent
        if _is_checkpoint(given):
            return DistributedSource(run=given.name, checkpoints=(_ref(given, run=given.name),))
        for folder in (given, *(given / name for name in _BELOW)):
            if folder.is_dir():
                children = [
                    child for child in sorted(folder.iterdir()) if child.is_dir() and _is_checkpoint(child)
                ]
                if children:
                    refs = in_series_order(_ref(child, run=given.name) for child in children)
                    return DistributedSource(run=given.name, checkpoints=refs)
        return None


def _is_checkpoint(folder: Path) -> bool:
    """With shards of a model, and without the whole weights that some trainers write beside them."""
    return distributed_payload(folder) is not None and not has_weights(folder)


def _ref(folder: Path, *, run: str) -> CheckpointRef:
    return CheckpointRef(run=run, step=parse_step(folder.name), uri=str(folder), format=_FORMAT)


@dataclass(kw_only=True, slots=True)
class DistributedSource(FoundRun):
    """One run of torch.distributed.checkpoint folders."""

    format: str = _FORMAT

    @one_reading()
    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says in its metadata and the JSON files beside it.

        Raises:
            CheckpointError: unfinished, damaged, without a shard, or of a model that nothing describes.
            UnsafePickleError: metadata that need types outside the allow-list.
        """
        folder, payload, model, described = self._read(ref)
        counted = (model.tokens_seen,) if model.tokens_seen else ()
        shards = check_shards(payload, [*model.tensors.values(), *counted])
        tensors = {
            name: TensorHeader(shape=model.tensors[own].shape, dtype=model.tensors[own].dtype)
            for name, own in described.names.items()
        }
        state = read_trainer_state(folder)
        values: dict[str, Any] = {name: getattr(state, name, None) for name in TRAINING_VALUES}
        sources = {name: TRAINER_STATE for name, value in values.items() if value is not None}
        if model.tokens_seen is not None:
            values["tokens_seen"] = _count(payload, model.tokens_seen)
            sources["tokens_seen"] = TOKENS_SEEN
        if described.files:
            sources["config"] = described.source
        beside = [folder / TRAINER_STATE] if state else []
        return CheckpointHeader(
            ref=ref,
            tensors=tensors,
            config=described.config,
            layout=described.layout,
            fingerprint=fingerprint(folder, [*shards, payload / METADATA, *described.files, *beside]),
            num_bytes=sum(model.tensors[own].num_bytes for own in described.names.values()),
            stated_step=state.step if state else None,
            **values,
            sources=sources,
            notices=(
                *model.notices,
                *described.notices,
                *(state.notices if state and values["tokens_seen"] is None else ()),
            ),
            same_values=partial(_same_values, payload, model, described),
            value_weights=value_weights(
                {
                    name: read_tensor(payload, model.keys[own], model.tensors[own])
                    for name, own in described.names.items()
                    if name.endswith(ENDING)
                }
            ),
        )

    @one_reading()
    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The model's tensors, put together from their shards one after another.

        Raises:
            CheckpointError, UnsafePickleError: as `header`.
        """
        _folder, payload, model, described = self._read(ref)
        check_shards(payload, model.tensors.values())
        state = {
            name: read_tensor(payload, model.keys[own], model.tensors[own])
            for name, own in described.names.items()
        }
        if described.head_dim is not None:
            with_halves_rotated(state, head_dim=described.head_dim)
        return state

    def _read(self, ref: CheckpointRef) -> tuple[Path, Path, ModelEntries, SavedConfig]:
        folder = Path(ref.uri)
        payload = distributed_payload(folder)
        if payload is None:
            raise CheckpointError(f"{folder}: no {METADATA} and no shards; it was moved or deleted")
        model = model_entries(read_metadata(payload), payload)
        shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
        return folder, payload, model, describe(shapes, payload, folder)


def _same_values(payload: Path, model: ModelEntries, described: SavedConfig, one: str, other: str) -> bool:
    stored = {name: described.names[name] for name in (one, other)}
    state = {n: read_tensor(payload, model.keys[own], model.tensors[own]) for n, own in stored.items()}
    return same_stored(state, one, other, where=str(payload))


def _count(payload: Path, stored: ShardedTensor) -> int:
    count = int(read_tensor(payload, TOKENS_SEEN, stored).item())
    if count < 0:
        raise CheckpointError(
            f"{payload}: {TOKENS_SEEN} is {count}; expected a number of tokens; save it again"
        )
    return count
