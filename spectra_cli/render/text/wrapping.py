"""Text in cells of a terminal: how wide it is, and where its lines end.

Lines end between words, and neither before a per cent sign nor beside a plus-minus: a number keeps what it is
a number of. A word is broken only where it alone is wider than the line, as a long path is: nothing is ever
cut off.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_GLUED = re.compile(r"(?<=[^ ]) (?=[%±])|(?<=±) (?=[^ ])")
_NO_BREAK = "\u00a0"


def width(text: str) -> int:
    """Cells that a text takes: two for wide characters, none for combining ones.

    >>> width("α ± 1"), width("模型"), width("e\\u0301")
    (5, 4, 1)
    """
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def spans(text: str, room: int, hang: int = 0) -> Iterator[tuple[int, int]]:
    """Where the lines of a text begin and end.

    Args:
        text: one paragraph.
        room: cells of the first line.
        hang: cells by which every further line is shorter.

    >>> text = "one two three"
    >>> [text[slice(*span)] for span in spans(text, 7)]
    ['one two', 'three']
    """
    start, left = 0, room
    whole = _GLUED.sub(_NO_BREAK, text)
    while width(text[start:]) > left:
        end = start + _fits(text[start:], left)
        blank, words_end = _last_blank(whole, start, end)
        if words_end == start:
            blank, words_end = _last_blank(text, start, end)
        if words_end > start:
            yield start, words_end
            start = blank + 1
        else:
            yield start, end
            start = end
        left = max(room - hang, 1)
    yield start, len(text)


def _last_blank(text: str, start: int, end: int) -> tuple[int, int]:
    """The last blank at which a line from `start` may end, and where its words end; `start` without one."""
    blank = text.rfind(" ", start, end + 1)
    return blank, len(text[start:blank].rstrip(" ")) + start if blank > start else start


def _fits(text: str, room: int) -> int:
    """How many characters of the text have room; at least one."""
    taken = 0
    for place, char in enumerate(text):
        taken += _cells(char)
        if taken > room:
            return max(place, 1)
    return len(text)


def wrapped(text: str, room: int) -> list[str]:
    """The lines of a text.

    >>> wrapped("α head 1-10", 6)
    ['α head', '1-10']
    """
    return [text[start:end] for start, end in spans(text, room)]


def longest_word(text: str) -> int:
    """Cells of its widest word.

    >>> longest_word("26 % of all"), longest_word("1.5 ± 0.2")
    (4, 9)
    """
    return max(map(width, re.split(r"[ \n]", _GLUED.sub(_NO_BREAK, text))), default=0)
