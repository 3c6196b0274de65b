"""Counts in a sentence: one tensor is, three tensors are."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """A number with what it counts.

    Args:
        one, several: what is counted; `several` where it is not `one` with an s.

    >>> counted(1, "tensor"), counted(3, "tensor"), counted(0, "matrix", "matrices")
    ('1 tensor', '3 tensors', '0 matrices')
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def agreed(number: int, one: str = "is", several: str = "are") -> str:
    """The verb of so many.

    >>> agreed(1), agreed(0), agreed(2, "has", "have")
    ('is', 'are', 'have')
    """
    return one if number == 1 else several
