"""How far runs of one recipe scatter: the standard deviation within groups, pooled over groups."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def pooled_deviation(values: Sequence[float], groups: Sequence[Hashable]) -> float:
    """`sqrt(sum over groups sum_i (y_i - mean_group)^2 / (n - number of groups))`.

    Args:
        values: of each run; those that are not finite are left out.
        groups: what the runs of one recipe share.

    Returns:
        NaN where no group has two runs.

    >>> pooled_deviation([1.0, 3.0, 5.0, 5.0], ["a", "a", "b", "b"])
    1.0
    """
    found: dict[Hashable, list[float]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        if math.isfinite(value):
            found[group].append(value)
    degrees = sum(len(members) - 1 for members in found.values())
    if not degrees:
        return math.nan
    squares = sum(float(((np.array(members) - np.mean(members)) ** 2).sum()) for members in found.values())
    return math.sqrt(squares / degrees)
