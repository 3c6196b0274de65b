"""Lists and choices as they are asked for: in the words of the command line, or as Python has them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.words.names import did_you_mean

_Choice = TypeVar("_Choice", bound=StrEnum)

Integers = str | int | range | Iterable[int | range]
"""Whole numbers: `"0,3,6-9"` (both ends included), one number, a range of Python's, or several of these."""
Words = str | Iterable[str]
"""Names: `"probe,dtype"`, or a list of them."""
Numbers = str | float | Iterable[float]
"""Numbers: `"3.5,3.28"`, one of them, or a list."""


def ranges(asked: Integers | None, flag: str) -> tuple[range, ...] | None:
    """Whole numbers as ranges; None where nothing is asked for.

    >>> ranges("0,6-9", "--step"), ranges([0, range(6, 10)], "--step")
    ((range(0, 1), range(6, 10)), (range(0, 1), range(6, 10)))

    Raises:
        UsageError: words that are none, naming the flag.
    """
    if asked is None:
        return None
    if not isinstance(asked, str):
        several = [asked] if isinstance(asked, (int, range)) else asked
        return tuple(one if isinstance(one, range) else range(int(one), int(one) + 1) for one in several)
    found: list[range] = []
    for word in asked.split(","):
        first, _, last = word.strip().partition("-")
        try:
            span = range(int(first), int(last or first) + 1)
        except ValueError:
            raise UsageError(f"{flag} {asked}: {word!r} is not a number or a range such as 6-9") from None
        if not span:
            raise UsageError(f"{flag} {asked}: {word!r} runs backwards; write {last}-{first}")
        found.append(span)
    return tuple(found)


def integers(asked: Integers | None, flag: str) -> tuple[int, ...] | None:
    """Whole numbers, each by itself.

    >>> integers("0,3,6-9", "--layer"), integers(5, "--layer")
    ((0, 3, 6, 7, 8, 9), (5,))
    """
    found = ranges(asked, flag)
    return None if found is None else tuple(number for span in found for number in span)


def words(asked: Words | None) -> tuple[str, ...] | None:
    """The names of a list such as `probe, dtype`.

    >>> words("probe, dtype"), words(["probe", "dtype"])
    (('probe', 'dtype'), ('probe', 'dtype'))
    """
    if asked is None or not isinstance(asked, str):
        return None if asked is None else tuple(asked)
    return tuple(word for word in asked.replace(" ", "").split(",") if word)


def numbers(asked: Numbers | None, flag: str) -> tuple[float, ...] | None:
    """The numbers of a list such as `3.5,3.28`.

    >>> numbers("3.5,3.28", "--at"), numbers(1000, "--at")
    ((3.5, 3.28), (1000.0,))

    Raises:
        UsageError: words that are none, naming the flag.
    """
    if asked is None:
        return None
    several = (words(asked) or ()) if isinstance(asked, str) else asked
    try:
        return tuple(float(one) for one in (several if isinstance(several, Iterable) else [several]))
    except ValueError:
        raise UsageError(f"{flag} {asked}: expected numbers such as 3.5,3.28") from None


def one_of(kind: type[_Choice], word: str, flag: str) -> _Choice:
    """The member that a word names.

    Raises:
        UnknownNameError: there is none.
    """
    try:
        return kind(word)
    except ValueError:
        meant = did_you_mean(word, list(kind))
        raise UnknownNameError(f"{flag} {word}{meant}: expected one of {', '.join(kind)}") from None
