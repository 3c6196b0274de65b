"""PEFT folders: an adapter, or a run of them, measured as its base model with the adapter merged in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.core.types import CheckpointRef
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.checkpoints.adapter.base import (
    Base,
    FindSource,
    find_base,
    huggingface_folder,
    name_of_base,
)
from spectra_cli.extract.checkpoints.adapter.config import ADAPTER_CONFIG, AdapterConfig, read_adapter_config
from spectra_cli.extract.checkpoints.adapter.folders import (
    ADAPTER_WEIGHTS,
    every_adapter,
    has_adapter_file,
    home_of,
    is_checkpoint_of_adapters,
)
from spectra_cli.extract.checkpoints.adapter.merge import merge, merged_headers, update_of
from spectra_cli.extract.checkpoints.adapter.placement import MOST_NAMED, Placement, is_embedding, place
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.files.weight_files import WeightFiles, open_tensors, read_headers
from spectra_cli.extract.checkpoints.series.found import (
    FoundRun,
    find_run,
    fingerprint,
    in_series_order,
    parse_step,
    step_notices,
    training_values,
)
from spectra_cli.extract.checkpoints.series.trainer_state import TRAINER_STATE, read_trainer_state
from spectra_cli.extract.checkpoints.tensors.wrappers import require_gathered, unwrapped
from spectra_cli.extract.models.matching import without_values
from spectra_cli.extract.protocols import CheckpointHeader, TensorHeader, WeightUpdate

MARKER = "adapter"
_FORMAT = "adapter"
_OF_TOKENS = (NoticeKind.TOKENS_UNKNOWN, NoticeKind.TOKENS_ROUNDED)


class AdapterFormat:
    """Finds PEFT adapters."""

    name = _FORMAT
    summary = (
        f"a folder with {ADAPTER_CONFIG} and {' or '.join(ADAPTER_WEIGHTS)} (LoRA, DoRA, rsLoRA), or a run "
        "folder with such children (checkpoint-500, checkpoint-500/adapter); over the base model that it "
        "names, or that --base gives"
    )

    def find(self, path: str) -> AdapterSource | None:
        """The adapters in `path` or directly below it, None if there are none."""
        folder = Path(os.path.abspath(path))
        if is_checkpoint_of_adapters(folder):
            ref = CheckpointRef(
                run=folder.name, step=parse_step(folder.name), uri=str(folder), format=_FORMAT
            )
            refs, notices = every_adapter([ref])
            return AdapterSource(run=folder.name, checkpoints=in_series_order(refs), notices=notices)
        found = find_run(
            AdapterSource,
            path,
            format_name=_FORMAT,
            is_child=_is_child,
            has_a_part=lambda child: has_adapter_file(child) or is_checkpoint_of_adapters(child),
            is_checkpoint=has_adapter_file,
        )
        if found is None:
            return None
        refs, notices = every_adapter(found.checkpoints)
        return replace(found, checkpoints=in_series_order(refs), notices=found.notices + notices)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """An adapter and its base, from their headers."""

    config: AdapterConfig
    weights: WeightFiles
    tensors: Mapping[str, TensorHeader]
    num_bytes: int
    base: Base
    header: CheckpointHeader
    placement: Placement
    removed: tuple[str, ...]


@dataclass(kw_only=True, slots=True)
class AdapterSource(FoundRun):
    """One run of adapters.

    Attributes:
        base: the model under all of them; empty for the one that each names.
        find: how a name or path becomes the base's own source.
    """

    base: str = ""
    find: FindSource = huggingface_folder
    format: str = _FORMAT
    _bases: dict[str, Base] = field(default_factory=dict)

    def over(self, base: str, *, find: FindSource) -> AdapterSource:
        """The same adapters over the model at `base`; an empty name leaves each its own."""
        return replace(self, base=base, find=find, _bases={})

    @one_reading()
    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What the merged model of `ref` is, from the headers of the adapter and of its base.

        Raises:
            CheckpointError: no low-rank adapter, half-written, without a base, or of another one.
            UnsafePickleError: an `adapter_model.bin` that needs types outside the allow-list.
        """
        found, folder = self._read(ref), Path(ref.uri)
        home = home_of(folder)
        state = read_trainer_state(home)
        values, sources = training_values(state)
        beside = [p for p in (folder / ADAPTER_CONFIG, home / TRAINER_STATE) if p.is_file()]
        own = fingerprint(folder, [*found.weights.files, *beside])
        tensors = merged_headers(found.placement, found.tensors, found.header.tensors)
        return CheckpointHeader(
            ref=ref,
            tensors=tensors,
            config=_merged_config(found, tensors),
            fingerprint=hashlib.sha256(f"{own}\n{found.header.fingerprint}".encode()).hexdigest(),
            num_bytes=found.header.num_bytes + found.num_bytes,
            read_bytes=found.header.loaded_bytes + _grown(tensors, found.header.tensors),
            **values,
            sources={"config": found.base.ref.uri, "adapter": ADAPTER_CONFIG, **sources},
            notices=(*self.notices, *_notices(found), *step_notices(replace(ref, uri=str(home)), state)),
            layout=found.header.named_as,
            base_uri=found.base.ref.uri,
            updates=partial(self._updates, found),
            update_shapes=partial(_update_shapes, found),
            same_values=found.header.same_values,
        )

    @one_reading()
    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The base's tensors with the adapter merged in; adapted ones in float32, the others as stored.

        Raises:
            CheckpointError, UnsafePickleError: as `header`.
        """
        found = self._read(ref)
        return merge(found.placement, _open(found.weights), found.base.source.open(found.base.ref))

    def _updates(self, found: _Read) -> dict[str, WeightUpdate]:
        tensors = _open(found.weights)
        base: dict[str, Tensor] = {}
        if found.config.has_magnitudes:
            bare = replace(found.placement, adapted=())
            base = merge(bare, tensors, found.base.source.open(found.base.ref))
        return {f"{m.module}.weight": update_of(m, tensors, base) for m in found.placement.adapted}

    def _read(self, ref: CheckpointRef) -> _Read:
        folder = Path(ref.uri)
        config = read_adapter_config(folder)
        weights = _weights(folder)
        stored = read_headers(weights)
        tensors, removed = unwrapped(stored.tensors)
        require_gathered(tensors, where=str(folder))
        base = self._base_of(config)
        header = base.source.header(base.ref)
        placement = place(config, tensors, header.tensors, model_type=header.model_type)
        return _Read(
            config=config,
            weights=weights,
            tensors=tensors,
            num_bytes=stored.num_bytes,
            base=base,
            header=header,
            placement=_still_tied(placement, weights),
            removed=removed,
        )

    def _base_of(self, config: AdapterConfig) -> Base:
        name = name_of_base(config, self.base)
        if name not in self._bases:
            self._bases[name] = find_base(config, name, self.find)
        return self._bases[name]


def _update_shapes(found: _Read) -> dict[str, WeightUpdate]:
    bare = merged_headers(replace(found.placement, adapted=()), found.tensors, found.header.tensors)
    tensors, base = without_values(found.tensors), without_values(bare)
    return {f"{m.module}.weight": update_of(m, tensors, base) for m in found.placement.adapted}


def _weights(folder: Path) -> WeightFiles:
    present = [folder / name for name in ADAPTER_WEIGHTS if (folder / name).is_file()]
    if not present:
        raise CheckpointError(
            f"{folder}: {ADAPTER_CONFIG} without {' or '.join(ADAPTER_WEIGHTS)}: half-written; save it again"
        )
    return WeightFiles(folder=folder, index=None, files=(present[0],), placed={}, notices=())


def _open(weights: WeightFiles) -> dict[str, Tensor]:
    return unwrapped(open_tensors(weights))[0]


def _still_tied(placement: Placement, weights: WeightFiles) -> Placement:
    """Without the copy of a tied matrix, where the adapter does the same under both names: PEFT saves a
    resized embedding so, and adapts both under `ensure_weight_tying`.
    """
    if not placement.copies:
        return placement
    tensors = _open(weights)
    same = {
        name
        for name, source in placement.copies.items()
        if _equal(_change(name, placement, tensors), _change(source, placement, tensors))
    }
    return replace(
        placement,
        adapted=tuple(matrix for matrix in placement.adapted if matrix.parameter not in same),
        replaced={name: tensor for name, tensor in placement.replaced.items() if name not in same},
        copies={name: source for name, source in placement.copies.items() if name not in same},
    )


def _change(name: str, placement: Placement, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """All that makes a parameter another one than the base's; DoRA's norms go along other dimensions in an
    embedding than in a head, so that these never do the same.
    """
    change = [tensors[placement.replaced[name]]] if name in placement.replaced else []
    for matrix in placement.adapted:
        if matrix.parameter != name:
            continue
        a, b = tensors[matrix.a], tensors[matrix.b]
        change += [a.T, b.T] if matrix.flipped else [b, a]
        change.append(torch.tensor(matrix.scale))
        change += [tensors[extra] for extra in (matrix.magnitude, matrix.bias) if extra]
    return change


def _equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) > 0 and all(map(torch.equal, one, other))


def _merged_config(found: _Read, tensors: Mapping[str, TensorHeader]) -> dict[str, Any]:
    """The base's configuration, marked, with what the adapter changed of the model's shape."""
    config = {**found.header.config, MARKER: found.config.method}
    placed = {m.parameter for m in found.placement.adapted} | found.placement.replaced.keys()
    edges = [name for name in placed if is_embedding(name)]
    if edges and len([name for name in tensors if is_embedding(name)]) > 1:
        config["tie_word_embeddings"] = False
    if edges and "vocab_size" in config:
        config["vocab_size"] = max(tensors[name].shape[0] for name in edges)
    return config


def _grown(tensors: Mapping[str, TensorHeader], base: Mapping[str, TensorHeader]) -> int:
    """Bytes that the merged tensors take more than the stored ones."""

    def size(header: TensorHeader | None) -> int:
        return 0 if header is None else torch.Size(header.shape).numel() * header.dtype.itemsize

    return sum(size(header) - size(base.get(name)) for name, header in tensors.items())


def _notices(found: _Read) -> tuple[str, ...]:
    placement, config = found.placement, found.config
    ranks = sorted({config.rank_of(matrix.module) for matrix in placement.adapted})
    size = (
        f"{counted(len(placement.adapted), 'matrix', 'matrices')}, rank {listed(ranks, MOST_NAMED) or 'none'}"
    )
    # The base's tokens are not the adapter's.
    of_base = [f"base: {n}" for n in found.header.notices if kind_of(n) not in _OF_TOKENS]
    notices = [
        *of_base,
        *found.removed,
        f"{config.method} adapter merged in float32 into {found.base.ref.uri}: {size}",
    ]
    if placement.replaced:
        notices.append(f"taken from the adapter whole: {listed(sorted(placement.replaced), MOST_NAMED)}")
    if placement.copies:
        pairs = [f"{name} and {source}" for name, source in placement.copies.items()]
        notices.append(f"tied in the base, and set apart by the adapter: {listed(pairs, MOST_NAMED)}")
    if placement.untouched:
        notices.append(
            f"target_modules mean {counted(len(placement.untouched), 'matrix', 'matrices')} that the "
            "adapter has no tensors for, "
            f"taken as the base has them: {listed(placement.untouched, MOST_NAMED)}"
        )
    return tuple(notices)


def _is_child(folder: Path) -> bool:
    return parse_step(folder.name) is not None or has_adapter_file(folder)
