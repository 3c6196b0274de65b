"""Text and JSON of a stated size: what a file takes in memory is known before it is read.

A sparse file of a terabyte takes no room on a disk, and a megabyte of `[]` is twenty of Python lists.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spectra_cli.core.errors import SpectraError

# lists and objects, and what they hold: at most half a gigabyte of Python objects
_MOST_CONTAINERS, _MOST_VALUES = 1 << 21, 1 << 22


def read_bounded(
    path: Path, most_bytes: int, error: type[SpectraError], *, where: str = "", advice: str = ""
) -> bytes:
    """The content of a regular file of at most so many bytes.

    Args:
        path: the file.
        most_bytes: the limit.
        error: what is raised for a file beyond it.
        where: what is put before the path in messages; advice: what to do about a larger file.

    Raises:
        OSError: it is not there, or may not be read.
        SpectraError: of the kind of `error`: no regular file, or a larger one.
    """
    # without waiting for the other end of a pipe
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise error(f"{where}{path}: not a regular file; replace it or move it away")
        if found.st_size > most_bytes:
            raise error(too_large(f"{where}{path}", found.st_size, most_bytes, advice))
        return file.read(found.st_size)


def too_large(name: str, size: int, most_bytes: int, advice: str = "") -> str:
    """The sentence about a file beyond its limit."""
    advice = advice or "replace it or move it away"
    return f"{name}: {size} bytes, where at most {most_bytes} are read of such a file; {advice}"


def parse_json(
    content: bytes | str,
    parse_int: Callable[[str], Any] = int,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """What the JSON says, if it is not of millions of values.

    Args:
        content: the text.
        parse_int: what a whole number becomes.
        object_pairs_hook: what an object becomes, of which a name may come twice; None for a dict.

    Raises:
        ValueError: no JSON, no text, or too many lists, objects or values.
        RecursionError: nested too deeply.
    """
    # those inside of strings count as well
    if isinstance(content, str):
        lists, objects, commas = content.count("["), content.count("{"), content.count(",")
    else:
        lists, objects, commas = content.count(b"["), content.count(b"{"), content.count(b",")
    containers = lists + objects
    values = containers + commas
    if containers > _MOST_CONTAINERS or values > _MOST_VALUES:
        raise ValueError(
            f"{containers} lists and objects and {values} values, where at most {_MOST_CONTAINERS} and "
            f"{_MOST_VALUES} are read"
        )
    return json.loads(content, parse_int=parse_int, object_pairs_hook=object_pairs_hook)
