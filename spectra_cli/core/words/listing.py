"""A list of names in a sentence: the first few, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[object], most: int, *, of: str = "") -> str:
    """At most so many names, in order; empty where there are none.

    Args:
        of: what more there are.

    >>> listed(["step1", "step2", "step3"], 2), listed(["w"], 2), listed("abc", 1, of=" tensors")
    ('step1, step2 and 1 more', 'w', 'a and 2 more tensors')
    """
    words = [str(name) for name in names]
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more{of}" if more > 0 else "")
