"""Where ticks stand along an axis or a bar of shades: two of them with a number wherever there is a range."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from spectra_cli.render.drawing.ticks import plain, power_of_ten

_MOST = 5  # numbers along an axis
_FINE = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # of a decade, where less than one is seen
_COARSE = (1.0, 2.0, 5.0)


def place_ticks(
    of: Any, ends: tuple[float, float], *, log: bool, whole: bool = False, only: float | None = None
) -> None:
    """Ticks of one of matplotlib's axes.

    Args:
        of: that axis; ends: the least and the largest number along it.
        whole: there are whole numbers alone.
        only: the one number that anything stands at, which then has the only tick; None for a range.
    """
    low, high = min(ends), max(ends)
    if only is not None:
        of.set_major_locator(FixedLocator([only]))
        of.set_minor_locator(NullLocator())
    elif log and high < 2 * low:
        of.set_major_locator(MaxNLocator(nbins=_MOST))
        of.set_minor_locator(NullLocator())
    elif log and _num_powers(low, high) < 2:
        of.set_major_locator(LogLocator(subs=_FINE if high < 10 * low else _COARSE))
    elif log:
        of.set_major_formatter(FuncFormatter(lambda number, _: power_of_ten(number)))
        of.set_minor_formatter(NullFormatter())
        return
    else:
        of.set_major_locator(MaxNLocator(nbins=6 if whole else _MOST, integer=whole))
    of.set_minor_formatter(NullFormatter())
    of.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))


def _num_powers(low: float, high: float) -> int:
    """How many powers of ten lie between two numbers, both included."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return max(0, last - first + 1)
