"""The values of stored weights: in half precision, or lost.

Lost are those that are all zero (saved before they were filled, or a file that lost its content), NaN or
infinite.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.digest import chunks, same_content
from spectra_cli.extract.protocols import TensorHeader

_NUM_NAMED = 3
_HALF = (torch.bfloat16, torch.float16)


def require_some_values(state: Mapping[str, Tensor], *, where: str) -> None:
    """Nothing, if any weight is not zero: a healthy checkpoint costs a look at its first tensor.

    Args:
        state: all tensors of a model, or those that are never zero together.
        where: the checkpoint, for the message.

    Raises:
        CheckpointError: they hold nothing but zeros.
    """
    weights = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    if not weights or any(_has_values(tensor) for tensor in weights.values()):
        return
    names = list(weights)
    named = " and ".join(names) if len(names) <= _NUM_NAMED else f"all {len(names)} of its tensors"
    raise CheckpointError(
        f"{where}: {named} hold nothing but zeros: it was saved before its weights were there, or its file "
        "lost them (preallocated, or a copy cut off); copy or save it again"
    )


def same_stored(state: Mapping[str, Tensor], one: str, other: str, *, where: str) -> bool:
    """Whether two tensors of a checkpoint are one matrix, value for value.

    Raises:
        CheckpointError: they hold nothing but zeros.
    """
    require_some_values({name: state[name] for name in (one, other)}, where=where)
    return same_content(state[one], state[other])


def _has_values(tensor: Tensor) -> bool:
    # 8-bit floating point has no `any`
    return any(
        bool((chunk.float() if chunk.dtype.itemsize == 1 else chunk).any())
        for chunk in chunks(tensor.detach())
    )


_NUM_COUNTED = 4


def non_finite(state: Mapping[str, Tensor]) -> str:
    """Which tensors hold NaN or infinite values and how many, as words; empty where all are finite.

    A sum is finite only if its terms are, so that a healthy checkpoint costs one sum a tensor.

    >>> import torch
    >>> non_finite({"a": torch.tensor([1.0, math.nan]), "b": torch.zeros(3), "ids": torch.arange(2)})
    'a (1 of 2)'
    """
    counts = {name: _count(tensor) for name, tensor in state.items() if tensor.is_floating_point()}
    found = [f"{name} ({count} of {state[name].numel()})" for name, count in counts.items() if count]
    return listed(found, _NUM_COUNTED, of=" tensors")


def _count(tensor: Tensor) -> int:
    return sum(_count_in(chunk) for chunk in chunks(tensor.detach()))


def _count_in(chunk: Tensor) -> int:
    if chunk.dtype.itemsize == 1:  # fp8 has no sum
        chunk = chunk.float()
    # a sum may also overflow: only the count decides
    return 0 if math.isfinite(chunk.sum().item()) else int((~chunk.isfinite()).sum())


def precision_notices(tensors: Mapping[str, TensorHeader], *, compute_dtype: str) -> tuple[str, ...]:
    """One notice where tensors are stored in bfloat16 or float16; none elsewhere.

    Args:
        tensors: as stored.
        compute_dtype: of the passes: `ScanSettings.dtype`.

    >>> bf16 = TensorHeader(shape=(2, 2), dtype=torch.bfloat16)
    >>> precision_notices({"w": bf16}, compute_dtype="float32")
    ('weights stored in bfloat16 (1 of 1 tensor), held in float32, passes in float32',)
    """
    counts = Counter(header.dtype for header in tensors.values() if header.dtype in _HALF)
    if not counts:
        return ()
    total = len(tensors)
    kinds = " and ".join(
        f"{str(dtype).removeprefix('torch.')} ({number} of {counted(total, 'tensor')})"
        for dtype, number in counts.items()
    )
    return (f"weights stored in {kinds}, held in float32, passes in {compute_dtype}",)
