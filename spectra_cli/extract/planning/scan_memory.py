"""What recurrent layers keep of their states: selective scans, scans in chunks of tokens, RWKV's loop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

# In units of all states of a batch (B T I S), as measured on 1 and 4 layers of transformers' Mamba: a layer
# keeps decays, inputs and states for backward, whose own temporaries are those of one layer.
_SELECTIVE_KEPT, _SELECTIVE_BACKWARD = 4, 14
# Likewise of B T H (chunk + state + head) on Mamba-2: pair-wise decays and products inside each chunk.
_CHUNKED_KEPT, _CHUNKED_BACKWARD = 9, 7
# Likewise of B T A (A channels) on RWKV: twelve in its loop over tokens (key and bonus, states, maxima,
# exponentials, numerator, denominator), six around it (tokens before, gates); backward spreads each step's
# gradient over all tokens of keys, values and outputs.
_LOOP_KEPT, _LOOP_BACKWARD = 18, 6
# Temporaries of a forward pass alone.
_FORWARD = 5
# Of layers that state none: what transformers' gated delta rules take.
_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    """Values of a sequence's scan in one layer, and how many times over they are held."""

    values: int
    kept: int
    backward: int


def scan_bytes(module: nn.Module, length: int, width: int, *, backward: bool) -> int:
    """Bytes that the scans of all layers take for one sequence of `length` tokens; 0 without such layers.

    Args:
        module: the model; its scans are told by the decay that every such layer learns: `A_log`, of
            RWKV `time_decay`.
        length: T.
        width: bytes a value.
        backward: whether states are kept for it.
    """
    scans = [scan for layer in module.modules() if (scan := _scan_of(layer, length)) is not None]
    if not backward:
        return max((_FORWARD * scan.values * width for scan in scans), default=0)
    kept = sum(scan.kept * scan.values for scan in scans)
    return width * (kept + max((scan.backward * scan.values for scan in scans), default=0))


def _scan_of(layer: nn.Module, length: int) -> _Scan | None:
    own = dict(layer.named_parameters(recurse=False))
    if (channels := own.get("time_decay")) is not None:
        return _Scan(values=length * channels.numel(), kept=_LOOP_KEPT, backward=_LOOP_BACKWARD)
    decay = own.get("A_log")
    if decay is None:
        return None
    if decay.squeeze().ndim > 1:  # (I, S): one state a channel and token
        return _Scan(values=length * decay.numel(), kept=_SELECTIVE_KEPT, backward=_SELECTIVE_BACKWARD)
    chunk = _size(layer, "chunk_size") or _CHUNK
    state = _size(layer, "ssm_state_size", "head_k_dim") or chunk
    head = _size(layer, "head_dim", "mamba_headdim", "head_v_dim") or chunk
    positions = math.ceil(length / chunk) * chunk  # the last chunk is filled up
    values = positions * decay.numel() * (chunk + state + head)
    return _Scan(values=values, kept=_CHUNKED_KEPT, backward=_CHUNKED_BACKWARD)


def _size(layer: nn.Module, *names: str) -> int:
    """The first of the layer's attributes that is a size; 0 where it has none of these names."""
    return next((size for name in names if isinstance(size := getattr(layer, name, None), int)), 0)
