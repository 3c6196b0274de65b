"""Paragraphs and tables as wide as the terminal; the one place that says how wide that is.

Names from outside are made harmless here: what is printed holds no escape sequence but the colours of its
own styles, and those on a terminal only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from spectra_cli.render.forms.fitting import fitted
from spectra_cli.render.forms.registry import Form
from spectra_cli.render.table import Drawing, Part, Table
from spectra_cli.render.text.neutral import for_terminal
from spectra_cli.render.text.sparks import PLAIN_SPARKS
from spectra_cli.render.text.wrapping import spans

if TYPE_CHECKING:
    from rich.text import Text

    from spectra_cli.render.output import Output

PIPE_WIDTH = 100
"""Cells of a line that goes into a pipe or a file, whatever the terminal is."""
_WIDEST_DRAWING = 100
LEAST_WIDTH = 60
"""Cells of a line on a terminal that is narrower than this."""


def write(output: Output, stream: TextIO) -> None:
    """Write the tables, as wide as the terminal (100 columns when piped), no line padded with blanks.

    Drawings and sparklines are of plain letters in a pipe, and where the terminal is not to have colours.
    """
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    room = max(console.width, LEAST_WIDTH) if console.is_terminal else PIPE_WIDTH
    plain = not console.is_terminal or console.no_color or console.is_dumb_terminal
    console.width = room + 1  # what stands in the last cell must not wrap
    with console.capture() as captured:
        for part in output.tables():
            for text in printed_lines(part, room, plain=plain):
                console.print(text, soft_wrap=True)
    stream.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def printed_lines(part: Part, room: int, *, plain: bool = False) -> Iterator[Text]:
    """A paragraph, a table or a drawing as lines that are no wider than the room."""
    from rich.text import Text

    if isinstance(part, Drawing):
        for drawn in (part.draw_plain if plain else part.draw)(min(room, _WIDEST_DRAWING)):
            yield Text.assemble(*((for_terminal(piece), style) for piece, style in drawn.pieces))
        return
    for paragraph in fitted(part, room) if isinstance(part, Table) else (part,):
        text = Text()
        for piece, style in paragraph.pieces:
            text.append(for_terminal(piece.translate(PLAIN_SPARKS) if plain else piece), style=style)
        for number, (start, end) in enumerate(spans(text.plain, room, paragraph.hang)):
            indent = " " * paragraph.hang if number else ""
            yield Text(indent) + text[start:end] if indent else text[start:end]


FORM = Form(write=write)
