"""Which ranks of a spectrum a page draws: those that a logarithmic axis tells apart, and fits whole."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]

POINTS = 48
"""Of a curve, equally spaced in the logarithm of the rank."""


def spaced_ranks(size: int) -> Ranks:
    """Ranks of a spectrum of `size` values from 1 on, equally spaced in their logarithm, the ends among them.

    >>> spaced_ranks(5).tolist()
    [1, 2, 3, 4, 5]
    >>> len(spaced_ranks(4096)) <= POINTS
    True
    """
    return np.unique(np.rint(np.geomspace(1, size, POINTS)).astype(np.int64))


def kept_ranks(size: int, windows: Iterable[tuple[float, float]]) -> Ranks:
    """`spaced_ranks`, and every rank within the windows that exponents were fitted over.

    >>> kept_ranks(1000, [(30, 33)]).tolist()[14:22]
    [22, 25, 29, 30, 31, 32, 33, 34]
    """
    whole = [np.arange(lo, min(hi, size) + 1) for lo, hi in windows]
    return np.unique(np.concatenate([spaced_ranks(size), *whole]).astype(np.int64))
