"""What goes to stderr: progress and notices. Results go to stdout, in one of the forms."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from spectra_cli.render.text.neutral import for_terminal


def messages() -> Console:
    """The console for progress and notices; `say` is what prints on it."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(*texts: str) -> None:
    """Print notices on stderr: a line each, which the terminal wraps."""
    for text in texts:
        messages().print(Text(for_terminal(text)))
