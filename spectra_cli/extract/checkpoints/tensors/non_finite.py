"""Weights that are NaN or infinite, by tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from spectra_cli.core.words.listing import listed
from spectra_cli.extract.digest import chunks

_NUM_NAMED = 4


def non_finite(state: Mapping[str, Tensor]) -> str:
    """Which tensors hold NaN or infinite values and how many, as words; empty where all are finite.

    A sum is finite only if its terms are, so that a healthy checkpoint costs one sum a tensor.

    >>> import torch
    >>> non_finite({"a": torch.tensor([1.0, math.nan]), "b": torch.zeros(3), "ids": torch.arange(2)})
    'a (1 of 2)'
    """
    counts = {name: _count(tensor) for name, tensor in state.items() if tensor.is_floating_point()}
    found = [f"{name} ({count} of {state[name].numel()})" for name, count in counts.items() if count]
    return listed(found, _NUM_NAMED, of=" tensors")


def _count(tensor: Tensor) -> int:
    return sum(_count_in(chunk) for chunk in chunks(tensor.detach()))


def _count_in(chunk: Tensor) -> int:
    if chunk.dtype.itemsize == 1:  # fp8 has no sum
        chunk = chunk.float()
    # a sum may also overflow: only the count decides
    return 0 if math.isfinite(chunk.sum().item()) else int((~chunk.isfinite()).sum())
