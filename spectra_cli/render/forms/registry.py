"""Every form of output by the word that `--format` takes. A new one is a file, a line here, and a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from spectra_cli.render.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A way to write any output. It knows tables, documents and rows, and of no command.

    Attributes:
        write: an output to a stream: stdout, or what stands for it; bytes go to its `buffer`.
        shows_tables: False where it writes the document or the rows of an output, and so no drawings.
        holds_notices: False where the notices of an output have no place in it and are told beside it.
    """

    write: Callable[[Output, TextIO], object]
    shows_tables: bool = True
    holds_notices: bool = True


# word -> module of this room, which holds it as FORM and is imported when somebody asks for it
FORMS: Mapping[str, str] = {
    "table": "terminal",
    "json": "json",
    "csv": "csv",
    "markdown": "markdown",
    "html": "html",
}


def form_of(word: str) -> Form:
    """The form that `--format WORD` asks for; `word` is a key of FORMS."""
    return cast("Form", import_module(f"{__package__}.{FORMS[word]}").FORM)
