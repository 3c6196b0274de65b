"""How every command hands over what it found: in the form that was asked for, on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spectra_cli.render.output import Output


def emit(output: Output, form: str) -> None:
    """Write an output on stdout, and on stderr the notices that the form has no place for.

    Args:
        output: what was found.
        form: a key of the registry of forms, as `OutputOptions` resolves it.
    """
    from spectra_cli.render.forms.registry import form_of

    chosen = form_of(form)
    chosen.write(output, sys.stdout)
    if not chosen.holds_notices:
        from spectra_cli.render.console import say

        say(*output.notices)
