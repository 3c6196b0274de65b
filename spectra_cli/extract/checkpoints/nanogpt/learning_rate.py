"""The learning rate in a nanoGPT-style file: that of its optimizer's state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from spectra_cli.extract.checkpoints.nanogpt.payload import Payload

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
