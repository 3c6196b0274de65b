"""`spectra explain`: what a family of errors means, and what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from spectra_cli.cli.groups.group import one_of
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.cli.help import examples
from spectra_cli.core.error_pages import PAGES
from spectra_cli.core.errors import UnknownNameError, exit_codes
from spectra_cli.core.words.names import did_you_mean

EPILOG = examples("spectra explain", "spectra explain contradiction")

CodeArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="CODE",
        help="The word in the last line of an error. [default: all of them, by their titles]",
        autocompletion=one_of(PAGES),
        show_default=False,
    ),
]


def command(code: CodeArgument = None, *, form: OutputOptions) -> None:
    """Say what an error means and what to do, by the code in its last line.

    Each error ends with a line such as `more: spectra explain unknown-name`.
    """
    from spectra_cli.render.outputs.explain import output

    chosen = form.resolve()
    if code is not None and code not in PAGES:
        meant = did_you_mean(code, PAGES)
        raise UnknownNameError(f"no error has the code {code}{meant}; codes: {', '.join(PAGES)}")
    pages = PAGES if code is None else {code: PAGES[code]}
    emit(output(pages, exit_codes()), chosen)
