"""The rotary frequencies of a GGUF file where they are scaled, which transformers' loader passes over."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from spectra_cli.core.errors import CheckpointError

_TABLE = re.compile(r"rope_(freqs|factors_\w+)\.weight")

# Llama 3.1's own; GGUF keeps only the factors that follow from them
_LOW, _HIGH, _ORIGINAL_LENGTH = 1.0, 4.0, 8192
_TOLERANCE = 1e-4  # the factors are stored in float32


def is_rope_table(name: str) -> bool:
    """Whether a tensor holds frequency factors instead of weights."""
    return _TABLE.fullmatch(name) is not None


def stored_rope(reader: Any, config: Mapping[str, Any], *, where: str) -> dict[str, Any] | None:
    """`rope_parameters` for transformers where the file scales its frequencies; None where it does not.

    Args:
        reader: the file, as `gguf.GGUFReader`.
        config: what transformers' loader made of it.
        where: the file, for messages.

    Raises:
        CheckpointError: a scaling other than Llama 3's.
    """
    scaled = [
        name
        for name, field in reader.fields.items()
        if name.endswith(".rope.scaling.type") and field.contents() not in ("", "none")
    ]
    tables = [tensor for tensor in reader.tensors if is_rope_table(tensor.name)]
    if config.get("rope_scaling") or not (scaled or tables):
        return None
    if len(tables) == 1 and tables[0].name == "rope_freqs.weight" and not scaled:
        stored = np.asarray(tables[0].data, dtype=np.float64).reshape(-1)
        theta, factor = float(config.get("rope_theta", 10_000.0)), float(stored.max())
        if np.allclose(stored, llama3_factors(theta, factor, len(stored)), rtol=_TOLERANCE, atol=0):
            return {
                "rope_type": "llama3",
                "rope_theta": theta,
                "factor": factor,
                "low_freq_factor": _LOW,
                "high_freq_factor": _HIGH,
                "original_max_position_embeddings": _ORIGINAL_LENGTH,
            }
    found = ", ".join([*scaled, *(table.name for table in tables)])
    raise CheckpointError(
        f"{where}: its rotary frequencies are scaled ({found}), which transformers' GGUF loader passes over; "
        "only Llama 3's scaling is read: use the original safetensors"
    )


def llama3_factors(theta: float, factor: float, num_pairs: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What Llama 3 divides each rotary frequency by.

    For wavelength w = 2 pi theta^(i / pairs): 1 where w < L / high, `factor` where w > L / low, between
    them 1 / ((1 - s) / factor + s) with s = (L / w - low) / (high - low).

    Args:
        theta: base of the frequencies.
        factor: of the longest wavelengths.
        num_pairs: half a head's width.
    """
    wavelengths = 2 * math.pi * theta ** (np.arange(num_pairs) / num_pairs)
    smooth = np.clip((_ORIGINAL_LENGTH / wavelengths - _LOW) / (_HIGH - _LOW), 0.0, 1.0)
    return np.asarray(1.0 / ((1 - smooth) / factor + smooth), dtype=np.float64)
