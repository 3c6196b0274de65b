"""Which of the losses in a nanoGPT-style file is the loss of its own step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from spectra_cli.extract.checkpoints.nanogpt.payload import Payload


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
