"""Every form of output by the word that `--format` takes. A new one is a file, a line here, and a test."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from spectra_cli.render.forms.form import Form

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
