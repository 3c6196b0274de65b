"""In which form a command hands over what it found, and how: on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from spectra_cli.cli.groups.group import OptionGroup, one_of, option
from spectra_cli.core.errors import UnknownNameError, UnwrittenError, UsageError
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.render.forms.registry import FORMS

if TYPE_CHECKING:
    from spectra_cli.render.output import Output


@dataclass(frozen=True, kw_only=True)
class OutputOptions(OptionGroup):
    """The form of the output."""

    panel = "Output"

    form: str | None = option(
        f"{', '.join(FORMS)}. [default: {next(iter(FORMS))}]",
        "--format",
        metavar="FORM",
        offers=one_of(FORMS),
    )
    as_json: bool = option("The same as --format json.", "--json", default=False)

    def resolve(self) -> str:
        """The one form that is asked for; the first of the registry by default.

        >>> OutputOptions(as_json=True).resolve(), OutputOptions(form="csv").resolve()
        ('json', 'csv')

        Raises:
            UsageError: there is no such form, or two are asked for.
        """
        if self.as_json and self.form not in (None, "json"):
            raise UsageError(f"--json contradicts --format {self.form}; give one of them")
        chosen = self.form or ("json" if self.as_json else next(iter(FORMS)))
        if chosen not in FORMS:
            meant = did_you_mean(chosen, FORMS)
            raise UnknownNameError(f"--format {chosen}{meant}: expected one of {', '.join(FORMS)}")
        return chosen


def emit(output: Output, form: str) -> None:
    """Write an output on stdout, and on stderr the notices that the form has no place for.

    Args:
        output: what was found.
        form: a key of the registry of forms, as `OutputOptions` resolves it.

    Raises:
        DataError: stdout does not take it.
    """
    from spectra_cli.render.forms.registry import form_of

    chosen = form_of(form)
    with on_stdout() as stream:
        chosen.write(output, stream)
    if not chosen.holds_notices:
        from spectra_cli.render.console import say

        say(*output.notices)


def shows_tables(form: str) -> bool:
    """Whether a form, as `emit` takes it, shows tables, and not numbers alone."""
    from spectra_cli.render.forms.registry import form_of

    return form_of(form).shows_tables


@contextmanager
def on_stdout() -> Iterator[TextIO]:
    """Stdout, all of which is out when the block ends.

    Raises:
        DataError: it does not take it, such as a file on a full disk; that its reader left is no error.
    """
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # what waits in the buffer has nowhere to go, and would fail again when the process ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UnwrittenError(
            f"cannot write to stdout: {error.strerror or error}. What stands there is not whole. Free space, "
            "or write to another place, and run the command again."
        ) from error
