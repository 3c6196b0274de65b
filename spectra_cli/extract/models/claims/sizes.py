"""What a configuration claims, held against what the file holds, before memory or time is spent on it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.memory import in_gib
from spectra_cli.extract.protocols import CheckpointHeader

# constructors loop over these; `max_window_layers` and the like are no counts of what is built
_LAYERS = re.compile(r"(n|num|num_hidden|num_decoder|num_encoder|decoder|encoder|num_nextn_predict)_layers?")
_PARTS = re.compile(r"\w*(experts|blocks|heads?)")
# causal masks and rotary tables, which no file needs to hold
_MOST_COMPUTED_BYTES = 1 << 30


def require_possible_counts(header: CheckpointHeader, stated: Mapping[str, Any]) -> None:
    """Nothing, if the file has tensors enough for the layers, and numbers enough for the parts.

    Raises:
        ModelError: the configuration is of a larger model.
    """
    if not header.tensors:
        return
    largest = max(math.prod(tensor.shape) for tensor in header.tensors.values())
    for name, value in stated.items():
        if not isinstance(value, int | float):
            continue
        if value < 0 and (_LAYERS.fullmatch(name) or _PARTS.fullmatch(name)):
            raise ModelError(
                f"{header.ref.uri}: config.json says {name} is {value}; expected a count; correct it"
            )
        if _LAYERS.fullmatch(name) and value > len(header.tensors):
            raise ModelError(
                f"{header.ref.uri}: config.json claims {value} layers, and the checkpoint holds "
                f"{len(header.tensors)} tensors: they are of different models; put that "
                "of this checkpoint there"
            )
        if _PARTS.fullmatch(name) and value > max(largest, 1):
            raise ModelError(
                f"{header.ref.uri}: config.json says {name} is {value}, and the largest tensor of the "
                f"checkpoint has {largest} numbers: they are of different "
                "models; put that of this checkpoint there"
            )


def require_possible_buffers(header: CheckpointHeader, module: nn.Module) -> None:
    """Nothing, if what the model computes for itself takes at most a gibibyte and four times its file.

    Raises:
        ModelError: it takes more, with the largest part.
    """
    held = header.tensors.keys()
    computed = {name: buffer.nbytes for name, buffer in module.named_buffers() if name not in held}
    total = sum(computed.values())
    if total > _MOST_COMPUTED_BYTES + 4 * header.loaded_bytes:
        name = max(computed, key=lambda own: computed[own])
        raise ModelError(
            f"{header.ref.uri}: the model that config.json describes computes {in_gib(total)} of tables that "
            f"no file holds, such as {name}, beside {in_gib(header.loaded_bytes)} of weights: its number of "
            "positions is not that of these weights"
        )
