"""Where output goes: results on stdout, everything else on stderr; no ANSI off a terminal.

Names from outside are made harmless here, and only here: what is printed holds no escape sequence but the
colours of its own styles.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from spectra_cli.render.fitting import fitted
from spectra_cli.render.neutral import for_terminal
from spectra_cli.render.table import Line, Table
from spectra_cli.render.wrapping import spans

PIPE_WIDTH = 100
"""Cells of a line that goes into a pipe or a file, whatever the terminal is."""
LEAST_WIDTH = 60
"""Cells of a line on a terminal that is narrower than this."""


def print_results(*parts: Line | Table) -> None:
    """Print on stdout, as wide as the terminal (100 columns when piped), no line padded with blanks."""
    console = Console(file=sys.stdout, highlight=False)
    room = max(console.width, LEAST_WIDTH) if console.is_terminal else PIPE_WIDTH
    console.width = room + 1  # what stands in the last cell must not wrap
    with console.capture() as captured:
        for part in parts:
            for text in printed_lines(part, room):
                console.print(text, soft_wrap=True)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def printed_lines(part: Line | Table, room: int) -> Iterator[Text]:
    """A paragraph or a table as lines that are no wider than the room."""
    for paragraph in fitted(part, room) if isinstance(part, Table) else (part,):
        text = Text()
        for piece, style in paragraph.pieces:
            text.append(for_terminal(piece), style=style)
        for number, (start, end) in enumerate(spans(text.plain, room, paragraph.hang)):
            indent = " " * paragraph.hang if number else ""
            yield Text(indent) + text[start:end] if indent else text[start:end]


def messages() -> Console:
    """The console for progress and notices; `say` is what prints on it."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(*texts: str) -> None:
    """Print notices on stderr: a line each, which the terminal wraps."""
    for text in texts:
        messages().print(Text(for_terminal(text)))
