"""Which of many stand for all: the first, the last, and some evenly between."""

from __future__ import annotations


def evenly(total: int, count: int) -> list[int]:
    """At most `count` of `total` places, both ends among them, as evenly spaced as they can be.

    >>> evenly(10, 4), evenly(3, 8), evenly(5, 1)
    ([0, 3, 6, 9], [0, 1, 2], [4])
    """
    if count >= total:
        return list(range(total))
    if count == 1:
        return [total - 1]
    return [round(number * (total - 1) / (count - 1)) for number in range(count)]
