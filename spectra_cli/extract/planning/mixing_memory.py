"""What mixing tokens takes for one sequence of a batch: attention that is not fused, recurrent layers.

Attention then keeps every score of every head, T^2 of them a sequence; recurrent layers keep their states:
selective scans, scans in chunks of tokens, RWKV's loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.protocols import Model

# In units of a layer's scores (B H T^2): each layer keeps its weights for backward, whose own temporaries are
# those of four; a forward pass has four. In the heap that is kept from batch to batch they leave holes,
# since small pieces settle between them: scans of 4 layers of MPT had 250 MiB in use and took 530 to 760, of
# 6 layers of CodeGen 450 and 860 to 950. With a mapping of its own for each array the holes are gone, and the
# scans take twice the processor time.
_HOLES = 2.5
_SCORES_KEPT, _SCORES_BACKWARD, _SCORES_FORWARD = 1, 4, 4
# In units of all states of a batch (B T I S), as measured on 1 and 4 layers of transformers' Mamba: a layer
# keeps decays, inputs and states for backward, whose own temporaries are those of one layer.
_SELECTIVE_KEPT, _SELECTIVE_BACKWARD = 4, 14
# Likewise of B T H (chunk + state + head) on Mamba-2: pair-wise decays and products inside each chunk.
_CHUNKED_KEPT, _CHUNKED_BACKWARD = 9, 7
# Likewise of B T A (A channels) on RWKV: twelve in its loop over tokens (key and bonus, states, maxima,
# exponentials, numerator, denominator), six around it (tokens before, gates); backward spreads each step's
# gradient over all tokens of keys, values and outputs.
_LOOP_KEPT, _LOOP_BACKWARD = 18, 6
# Temporaries of a forward pass alone, with the holes that they leave: the same scan of a Mamba, whose states
# of a layer are 32 MiB, took 186 to 318 MiB from one run to the next, some 60 of them for all else.
_FORWARD = 8
# Of layers that state none: what transformers' gated delta rules take.
_CHUNK = 64


def mixing_bytes(model: Model, settings: ScanSettings, width: int, *, backward: bool) -> int:
    """States of scans and scores of attention together; the arguments as of each."""
    length, rounded = settings.sequence_length, settings.dtype == "bfloat16"
    scans = scan_bytes(model.module, length, width, backward=backward)
    return scans + attention_bytes(model, length, width, rounded=rounded, backward=backward)


def is_eager(model: Model) -> bool:
    """Whether its attention is the one of transformers that keeps the scores."""
    return getattr(getattr(model.module, "config", None), "_attn_implementation", "") == "eager"


def attention_bytes(model: Model, length: int, width: int, *, rounded: bool, backward: bool) -> int:
    """Bytes that attention takes for one sequence of `length` tokens; 0 where it is fused or there is none.

    Args:
        model: its number of heads is read from its config.
        length: T.
        width: bytes a value.
        rounded: whether products are formed in bfloat16, so that weights are kept rounded, too.
        backward: whether weights are kept for it.
    """
    heads = getattr(getattr(model.module, "config", None), "num_attention_heads", 0)
    if not (is_eager(model) and isinstance(heads, int) and heads):
        return 0
    scores = heads * length**2
    if not backward:
        return int(_HOLES * _SCORES_FORWARD * scores * width)
    kept = width + 2 if rounded else width
    return int(_HOLES * scores * (_SCORES_KEPT * len(model.blocks) * kept + _SCORES_BACKWARD * width))


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
