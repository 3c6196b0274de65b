"""Where output goes: results on stdout, everything else on stderr; no ANSI off a terminal."""

from __future__ import annotations

import sys

from rich.console import Console, RenderableType

WIDTH = 100


def print_results(*parts: RenderableType) -> None:
    """Print on stdout, at most 100 columns wide (exactly 100 when piped), no line padded with blanks."""
    console = Console(file=sys.stdout, highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def messages() -> Console:
    """The console for progress, notices and errors."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)
