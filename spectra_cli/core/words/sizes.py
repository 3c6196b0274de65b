"""Sizes of memory in the words of a user."""

from __future__ import annotations

import re

from spectra_cli.core.errors import UsageError

# Powers of ten and of two that a unit stands for.
_UNITS = {"": (0, 0), "K": (3, 10), "M": (6, 20), "G": (9, 30), "T": (12, 40)}
# A number without a unit below this forgot its unit: no model fits into it.
_FEWEST_BYTES = 10**6
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


def memory_bytes(words: str) -> int:
    """Bytes of a size such as `8GiB`, `500MB` or plain `8000000000`.

    >>> memory_bytes("1.5GiB")
    1610612736
    >>> memory_bytes("8000000000")
    8000000000
    >>> memory_bytes("2GB")
    2000000000
    """
    match = _MEMORY.fullmatch(words.strip())
    if match is None:
        raise UsageError(f"--memory {words}: expected a size such as 8GiB, 500MB or 8000000000")
    number, unit, binary = match.groups()
    if not unit and float(number) < _FEWEST_BYTES:
        raise UsageError(f"--memory {words}: {number} bytes hold no model; expected a unit too, as in 8GiB")
    ten, two = _UNITS[unit.upper()]
    return int(float(number) * (2**two if binary else 10**ten))
