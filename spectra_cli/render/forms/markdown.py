"""Paragraphs and tables as GitHub-flavoured Markdown: every column and row, whatever the width.

Names are shown as they are: what Markdown or HTML would act on is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from spectra_cli.render.forms.registry import Form
from spectra_cli.render.table import Drawing, Line, Part, Table
from spectra_cli.render.text.neutral import for_markdown, for_terminal

if TYPE_CHECKING:
    from spectra_cli.render.output import Output

# What makes a list, a heading or a quotation of a paragraph.
_BEGINS_A_BLOCK = re.compile(r"^(?:(?=[#+=-])|(\d+)(?=[.)](?:\s|$)))")
_BULLET = "- "


def write(output: Output, stream: TextIO) -> None:
    """Write the tables, a blank line between blocks."""
    blocks = [block for part in output.tables() for block in _blocks(part)]
    stream.write("\n\n".join(filter(None, blocks)) + "\n")


def _blocks(part: Part) -> Iterator[str]:
    if isinstance(part, Drawing):
        shown = for_terminal(part.text, keep="\n")
        yield f"```text\n{shown}\n```"
        return
    if isinstance(part, Line):
        yield _paragraph(part)
        return
    if part.title:
        yield f"### {for_markdown(part.title)}"
    yield "\n".join(_rows(part))
    yield from map(_paragraph, part.notes)


def _paragraph(line: Line) -> str:
    """One paragraph; a hanging one that begins with a dash is an item of a list."""
    is_item = bool(line.hang) and line.text.startswith(_BULLET)
    text = "".join(_piece(piece, style) for piece, style in line.pieces).strip()
    return text if is_item else _BEGINS_A_BLOCK.sub(r"\1\\", text)


def _piece(text: str, style: str) -> str:
    """A piece of a paragraph; the emphasis must touch no blank."""
    shown, inner = for_markdown(text), for_markdown(text.strip())
    return shown.replace(inner, f"**{inner}**", 1) if "bold" in style and inner else shown


def _rows(table: Table) -> Iterator[str]:
    yield _row([column.title.replace("\n", " ") for column in table.columns])
    yield "|" + "|".join(" ---: " if column.is_number else " --- " for column in table.columns) + "|"
    yield from map(_row, table.rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(for_markdown, cells))} |"


FORM = Form(write=write)
