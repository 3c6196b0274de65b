"""What the user must know where weights are stored in half precision and computed with in another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch

from spectra_cli.extract.protocols import TensorHeader

_HALF = (torch.bfloat16, torch.float16)


def precision_notices(tensors: Mapping[str, TensorHeader], *, compute_dtype: str) -> tuple[str, ...]:
    """One notice where tensors are stored in bfloat16 or float16; none elsewhere.

    Args:
        tensors: as stored.
        compute_dtype: of the passes: `ScanSettings.dtype`.

    >>> bf16 = TensorHeader(shape=(2, 2), dtype=torch.bfloat16)
    >>> precision_notices({"w": bf16}, compute_dtype="float32")
    ('weights stored in bfloat16 (1 of 1 tensors), held in float32, passes in float32',)
    """
    counts = Counter(header.dtype for header in tensors.values() if header.dtype in _HALF)
    if not counts:
        return ()
    total = len(tensors)
    kinds = " and ".join(
        f"{str(dtype).removeprefix('torch.')} ({number} of {total} tensors)"
        for dtype, number in counts.items()
    )
    return (f"weights stored in {kinds}, held in float32, passes in {compute_dtype}",)
