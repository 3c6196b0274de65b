"""A series of numbers as one word: a small picture of how it went."""

from __future__ import annotations

import math
from collections.abc import Sequence

_LEVELS, _PLAIN_LEVELS = "▁▂▃▄▅▆▇█", "_.,-~=+#"
GAP, _PLAIN_GAP = "·", "x"
PLAIN_SPARKS = str.maketrans(_LEVELS + GAP, _PLAIN_LEVELS + _PLAIN_GAP)


def sparkline(values: Sequence[float]) -> str:
    """A number over a series in one character each, from its least to its largest; a dot where there is none.

    >>> sparkline([1.0, 2.0, float("nan"), 8.0]), sparkline([3.0, 3.0]), sparkline([float("nan")])
    ('▁▂·█', '▄▄', '·')
    """
    known = [value for value in values if math.isfinite(value)]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    return "".join(
        GAP
        if not math.isfinite(value)
        else _LEVELS[round((value - low) / span * (len(_LEVELS) - 1)) if span > 0 else 3]
        for value in values
    )
