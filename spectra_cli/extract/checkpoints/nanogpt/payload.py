"""What a nanoGPT-style `.pt` file holds: a state dict among other things, under several layouts.

Of the losses in it one at most is the loss of its own step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.pickles import open_pickle
from spectra_cli.extract.checkpoints.files.state_dicts import tensors_of

_STATE_KEYS = ("model", "model_state_dict", "state_dict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The content of one file.

    Attributes:
        layout: "nanogpt", "spectral-lens" or "state-dict".
        file_family: "A", "B/F", "C", "D", "E", told from the top-level keys; "" otherwise.
        state: the model's tensors under their stored names.
        step: optimiser steps taken, as the file says; None if it does not.
        content: every top-level entry; empty for a bare state dict.
    """

    layout: str
    file_family: str
    state: Mapping[str, Tensor]
    step: int | None
    content: Mapping[str, Any]

    def mapping(self, name: str) -> Mapping[str, Any]:
        """The entry `name` if it is a mapping, else an empty one."""
        value = self.content.get(name)
        return value if isinstance(value, Mapping) else {}


def read_payload(path: Path, *, with_values: bool = False, ending: tuple[str, ...] = ()) -> Payload:
    """The state dict in `path` and what stands beside it.

    Args:
        path: the file.
        with_values: whether the state's tensors are read; without, they have shapes and zeros. Single numbers
            that stand beside it as tensors are always read.
        ending: how the names of tensors end that are read even so.

    Raises:
        CheckpointError: damaged, or without a state dict.
        UnsafePickleError: it needs types outside the allow-list.
    """
    with open_pickle(path) as stored:
        payload = _payload(stored.content, path)
        numbers = [v for v in payload.content.values() if isinstance(v, Tensor) and v.numel() == 1]
        wanted = (t for name, t in payload.state.items() if with_values or name.endswith(ending))
        stored.read([*numbers, *wanted])
    return payload


def _payload(content: Any, path: Path) -> Payload:
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: expected a dict, found {type(content).__name__}")
    key = next((key for key in _STATE_KEYS if isinstance(content.get(key), Mapping)), None)
    if key is None:
        if not content or not all(isinstance(value, Tensor) for value in content.values()):
            raise CheckpointError(
                f"{path}: no state dict; expected one under {', '.join(_STATE_KEYS)} or a bare dict of "
                f"tensors, found the entries {', '.join(sorted(map(str, content))) or '(none)'}"
            )
        state, content = content, {}
    else:
        state = content[key]
    # global_step: PyTorch Lightning's
    step = next((content[name] for name in ("iter_num", "step", "global_step") if name in content), None)
    family = _file_family(content) if key == "model" else ""
    return Payload(
        layout=_layout(content, key),
        file_family=family,
        state=tensors_of(state, path),
        step=step if type(step) is int and 0 <= step < 2**63 else None,
        content=content,
    )


def _layout(content: Mapping[str, Any], key: str | None) -> str:
    if key == "model" and "model_args" in content:
        return "nanogpt"
    return "spectral-lens" if key == "model" and "step" in content else "state-dict"


def _file_family(content: Mapping[str, Any]) -> str:
    if "model_args" in content:
        return ""
    if "derived" in content:
        return "A"
    if "optimizers" in content:
        return "B/F" if "rng" in content else "D"
    if "optimizer1" in content:
        return "E"
    return "C" if "optimizer" in content else ""


_OPTIMIZERS = ("optimizer", "optimizers", "optimizer_state_dict")


def stored_learning_rate(payload: Payload) -> float | None:
    """The rate that all parameter groups share; None without an optimizer, or where they differ.

    A schedule writes its rate into the groups: the file has the one in force when it was written. Muon beside
    AdamW has a rate of its own: no single number describes such a step.
    """
    rates = {rate for name in _OPTIMIZERS for rate in _rates(payload.content.get(name))}
    return rates.pop() if len(rates) == 1 else None


def _rates(stored: Any) -> Iterator[float]:
    """The rates of an optimizer's state dict, or of a list or mapping of such."""
    if isinstance(stored, Mapping) and isinstance(groups := stored.get("param_groups"), list):
        for group in groups:
            rate = group.get("lr") if isinstance(group, Mapping) else None
            if isinstance(rate, (int, float)) and math.isfinite(rate):
                yield float(rate)
    elif isinstance(stored, (list, Mapping)):
        for inner in stored.values() if isinstance(stored, Mapping) else stored:
            if isinstance(inner, Mapping) and "param_groups" in inner:
                yield from _rates(inner)


# how the names of these tensors end, whatever wrappers put before them
ENDING = ".attn.mix"
_MIX = re.compile(r"(?:transformer\.h|blocks)\.(\d{1,9})\.attn\.mix")


def value_weights(state: Mapping[str, Tensor]) -> dict[int, float]:
    """Layer -> attn.mix[1], the weight of its value embedding; of the layers that have such."""
    layers = {int(m[1]): tensor for name, tensor in state.items() if (m := _MIX.fullmatch(name))}
    return {layer: float(tensor[1]) for layer, tensor in layers.items() if tensor.shape == (2,)}


def stored_loss(
    payload: Payload, *, names: Iterable[str], target_reached: bool
) -> tuple[float | None, tuple[str, ...]]:
    """The validation loss that `payload` stores, kept only where it can be that of its step.

    The trainers of families C, D, E and F store the validation of an *earlier* step in their
    periodic files; B stores one only when it was measured for that file; A stores the last one,
    usually of the same step. A file written when the target was reached carries its own, and so does
    one whose `val_loss_step` names its step (no trainer of the paper writes that key; ours does).

    Args:
        payload: the content of the file.
        names: its tensors: `attn.mix` tells F from B, which have the same top-level keys.
        target_reached: the file was written by an early stop.

    Returns:
        The loss in nats per token, and notices of what was left out.

    Source: specification of the family, section 3.4.
    """
    best = _number(payload.content.get("best_val_loss"))
    if best is not None:
        return None, (f"best_val_loss {best:.6g} is the best so far, not the loss of this step: left out",)
    stored = payload.content.get("val_loss")
    if stored is None:
        return None, ()
    loss = _number(stored)
    if loss is None:
        return None, (f"val_loss is {stored!r}: left out",)
    is_family_b = payload.file_family == "B/F" and not any(name.endswith("attn.mix") for name in names)
    own = target_reached or payload.content.get("target_reached") is True or states_own_step(payload)
    if own or is_family_b:
        return loss, ()
    if payload.file_family == "A":
        return loss, ("val_loss is the last validation at or before this step",)
    return None, (f"val_loss {loss:.6g} may be of an earlier step, as such trainers store it: left out",)


def states_own_step(payload: Payload) -> bool:
    """Whether the file says that its weights, and its loss, are those after exactly `step` updates."""
    return payload.step is not None and payload.content.get("val_loss_step") == payload.step


def _number(value: object) -> float | None:
    """A finite number, also as a tensor of one element; None otherwise."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
