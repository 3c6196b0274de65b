"""Shapes as files state them, looked at before anything is multiplied or made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

MAX_DIMENSIONS = 64  # of PyTorch's operations


def is_possible(shape: Sequence[object]) -> bool:
    """Whether a tensor can have it: at most 64 whole numbers, and strides that 64 bits hold.

    >>> [is_possible(shape) for shape in ((), (0, 3), (-1,), (2.0,), (0, 2**62, 2), (1,) * 65)]
    [True, True, False, False, False, False]
    """
    sizes = [size for size in shape[: MAX_DIMENSIONS + 1] if type(size) is int and 0 <= size < 2**63]
    if len(sizes) != len(shape) or len(shape) > MAX_DIMENSIONS:
        return False
    # also where a size is 0: strides are products of the others
    return math.prod(max(size, 1) for size in sizes) < 2**63
