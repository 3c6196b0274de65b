"""Names that come from outside, made harmless: one rule for the terminal, one for CSV cells.

JSON needs neither: it escapes by itself, and stays exact.
"""

from __future__ import annotations

import re
import unicodedata

# Control characters (C0, DEL, C1), format characters (bidirectional marks, zero width), lone surrogates,
# and Unicode's own line and paragraph separators.
_ACTIVE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# What spreadsheets take for the start of a formula, in both widths.
_FORMULA = "=+-@＝＋－＠"
# What Markdown or HTML acts on; an underscore inside a word is text to Markdown.
_MARKUP = re.compile(r"[\\`*\[\]<>&~|$]|(?<![^\W_])_|_(?![^\W_])")


def for_terminal(text: str, *, keep: str = "") -> str:
    """The text with every character that acts on a terminal, or shows nothing, written out.

    Args:
        text: anything.
        keep: characters that the caller means to act, such as a line end.

    >>> for_terminal("a\\x1b[31mb"), for_terminal("step\\u202e7"), for_terminal("α ± 1")
    ('a\\\\x1b[31mb', 'step\\\\u202e7', 'α ± 1')
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _written_out(char) if unicodedata.category(char) in _ACTIVE and char not in keep else char
        for char in text
    )


def for_csv(text: str) -> str:
    """The text as a CSV cell that no spreadsheet takes for a formula: an apostrophe goes before it.

    >>> for_csv("=1+1"), for_csv("-run"), for_csv("run-1"), for_csv("\\t=1")
    ("'=1+1", "'-run", 'run-1', '\\\\x09=1')
    """
    shown = for_terminal(text)
    return f"'{shown}" if shown.lstrip()[:1] in tuple(_FORMULA) else shown


def for_markdown(text: str) -> str:
    r"""The text as Markdown that shows it.

    >>> print(for_markdown("rankme_cov [u] a|b <x>"))
    rankme_cov \[u\] a\|b \<x\>
    """
    return _MARKUP.sub(r"\\\g<0>", for_terminal(text))


def _written_out(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
