"""Paragraphs and tables as HTML: a page of its own, or a fragment for a notebook.

Names are shown as they are: no text becomes an element or an attribute. Nothing is coloured, so that it reads
on light and on dark ground; nothing is loaded and nothing runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, TextIO

from spectra_cli.render.forms.registry import Form
from spectra_cli.render.table import Drawing, Line, Part, Table
from spectra_cli.render.text.neutral import for_terminal

if TYPE_CHECKING:
    from spectra_cli.render.output import Output

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>spectra</title>
<style>
body { font-family: system-ui, sans-serif; margin: 2em; line-height: 1.4; }
table { border-collapse: collapse; margin: 1em 0; }
th { border-bottom: 1px solid; vertical-align: bottom; }
th, td { padding: 0.15em 0.7em; }
caption { padding-bottom: 0.4em; }
</style>
</head>
<body>
"""
_TAIL = "</body>\n</html>\n"
_LEFT, _RIGHT = ' style="text-align:left"', ' style="text-align:right;white-space:nowrap"'
_CAPTION = ' style="caption-side:top;text-align:left;font-weight:bold"'
# a style of the terminal -> the element that stands for it, and its attributes
_ELEMENTS = {
    "bold": ("strong", ""),
    "dim": ("span", ' style="opacity:0.7"'),
    "yellow": ("em", ""),
    "red": ("em", ""),
}


def write(output: Output, stream: TextIO) -> None:
    """Write a page."""
    stream.write(f"{_HEAD}{fragment(output)}{_TAIL}")


def fragment(output: Output) -> str:
    """The tables for a page of others."""
    inside = "".join(f"{element}\n" for part in output.tables() for element in _elements(part))
    return f'<div class="spectra">\n{inside}</div>\n'


def escaped(text: str) -> str:
    """The text as HTML that shows it.

    >>> escaped('<img src=x onerror="f()"> & co')
    '&lt;img src=x onerror=&quot;f()&quot;&gt; &amp; co'
    """
    return escape(for_terminal(text), quote=True)


def _elements(part: Part) -> Iterator[str]:
    if isinstance(part, Drawing):
        shown = for_terminal(part.text, keep="\n")
        yield f"<pre>{escape(shown)}</pre>"
        return
    if isinstance(part, Line):
        if for_terminal(part.text).strip():
            yield _paragraph(part)
        return
    yield from _table(part)
    yield from map(_paragraph, part.notes)


def _paragraph(line: Line) -> str:
    return f"<p>{''.join(_styled(escaped(text), style) for text, style in line.pieces)}</p>"


def _styled(shown: str, style: str) -> str:
    for word in style.split():
        if word in _ELEMENTS and shown:
            name, attributes = _ELEMENTS[word]
            shown = f"<{name}{attributes}>{shown}</{name}>"
    return shown


def _table(table: Table) -> Iterator[str]:
    sides = [_RIGHT if column.is_number else _LEFT for column in table.columns]
    yield "<table>"
    if table.title:
        yield f"<caption{_CAPTION}>{escaped(table.title)}</caption>"
    heads = ("<br>".join(map(escaped, column.title.split("\n"))) for column in table.columns)
    yield _row("th", heads, sides)
    for place, row in enumerate(table.rows):
        style = table.row_styles.get(place, "")
        yield _row("td", (_styled(escaped(cell), style) for cell in row), sides)
    yield "</table>"


def _row(name: str, cells: Iterator[str], sides: list[str]) -> str:
    inside = "".join(f"<{name}{side}>{cell}</{name}>" for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{inside}</tr>"


FORM = Form(write=write)
