"""Where output goes: results on stdout, everything else on stderr; no ANSI off a terminal."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH = 100


def results() -> Console:
    """The console for results: at most 100 columns; exactly 100 when piped."""
    console = Console(file=sys.stdout, highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def messages() -> Console:
    """The console for progress, notices and errors."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)
