"""What a form of output is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from spectra_cli.render.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A way to write any output. It knows tables, documents and rows, and of no command.

    Attributes:
        write: an output to a stream: stdout, or what stands for it; bytes go to its `buffer`.
        holds_notices: False where the notices of an output have no place in it and are told beside it.
    """

    write: Callable[[Output, TextIO], object]
    holds_notices: bool = True
