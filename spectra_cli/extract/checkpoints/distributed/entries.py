"""Which entries of a distributed checkpoint are the model's, told from how the saved dict was nested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.distributed.metadata import METADATA, ShardedTensor, StoredEntries
from spectra_cli.extract.checkpoints.tensors.wrappers import COMPILE_AND_DDP, unwrapped

# beginnings of the keys under which trainers put what is not the model
_NOT_MODEL = (
    "optim",
    "lr_sched",
    "sched",
    "dataloader",
    "data_loader",
    "train_state",
    "rng",
    "scaler",
    "ema",
)
_MODEL_KEYS = ("model", "module", "state_dict", "model_state_dict")
# containers that some save inside the names themselves
_PREFIXES = ("app", "state", "model")
# where torchtitan keeps its count of tokens
TOKENS_SEEN = "train_state.ntokens_seen"
_WHOLE = (torch.int64, torch.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntries:
    """The model's tensors.

    Attributes:
        tensors: name, containers and wrappers taken off -> tensor; keys: name -> stored key.
        tokens_seen: the trainer's own count, where it is stored.
        notices: what was taken off, and what was not read.
    """

    tensors: Mapping[str, ShardedTensor]
    keys: Mapping[str, str]
    tokens_seen: ShardedTensor | None
    notices: tuple[str, ...]


def model_entries(entries: StoredEntries, folder: Path) -> ModelEntries:
    """The model among the entries.

    Raises:
        CheckpointError: none, or several groups that could be it.
    """
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for key in entries.tensors:
        *containers, leaf = entries.paths[key]
        if not any(part.lower().startswith(_NOT_MODEL) for part in (*containers, key)):
            groups.setdefault(tuple(containers), {})[leaf] = key
    chosen = _choose(groups, folder)
    keys, removed = unwrapped(_without_prefixes(groups[chosen]), leading=COMPILE_AND_DDP)
    left = Counter(entries.paths[key][0] for key in entries.paths.keys() - set(keys.values()))
    counts = ", ".join(f"{number} of {name}" for name, number in sorted(left.items())[:8])
    more = f" and of {len(left) - 8} more" if len(left) > 8 else ""
    tokens = entries.tensors.get(TOKENS_SEEN)
    counted = tokens is not None and tokens.shape == () and tokens.dtype in _WHOLE
    return ModelEntries(
        tensors={name: entries.tensors[key] for name, key in keys.items()},
        keys=keys,
        tokens_seen=tokens if counted else None,
        notices=(
            *((f"the model is what was saved as {'.'.join(chosen)}",) if chosen else ()),
            *removed,
            *((f"entries beside the model are not read: {counts}{more}",) if left else ()),
        ),
    )


def _choose(groups: Mapping[tuple[str, ...], Mapping[str, str]], folder: Path) -> tuple[str, ...]:
    named = [containers for containers in groups if containers and containers[-1] in _MODEL_KEYS]
    candidates = named or list(groups)
    if len(candidates) == 1:
        return candidates[0]
    found = ", ".join(".".join(c) or "the top level" for c in candidates) or "only optimizer entries"
    raise CheckpointError(
        f"{folder / METADATA}: no one group of tensors is the model: {found}. Expected a state dict, or one "
        f"under {', '.join(_MODEL_KEYS)}: save the model alone with torch.distributed.checkpoint.save"
    )


def _without_prefixes(names: Mapping[str, str]) -> dict[str, str]:
    """The names without containers that were written into each of them: `app.model.`, `model.`."""
    stripped = dict(names)
    for prefix in _PREFIXES:
        if all(name.startswith(f"{prefix}.") for name in stripped):
            stripped = {name.removeprefix(f"{prefix}."): key for name, key in stripped.items()}
    return stripped
