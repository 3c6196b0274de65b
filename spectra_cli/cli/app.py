"""The `spectra` command: every subcommand, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from spectra_cli import __version__
from spectra_cli.cli import interrupts
from spectra_cli.cli.commands.registry import Commands
from spectra_cli.cli.help import CONTEXT
from spectra_cli.cli.refusals import refusal
from spectra_cli.core.errors import SpectraError
from spectra_cli.render.text.neutral import for_terminal

# What typer's own errors are made of: click's, or those of the copy of click that it carries.
_CommandLineError: type[Any] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

_TYPERS_INTERRUPT = 130  # what typer makes of a KeyboardInterrupt, whatever signal raised it

app = typer.Typer(
    name="spectra",
    cls=Commands,
    help="Layerwise activation, gradient and weight spectra of a series of language-model checkpoints.",
    epilog="Exit codes: 0 done, 1 a gate was crossed, 2 usage, 3 data or model error, 4 done in part, "
    "130 interrupted, 143 ended by SIGTERM.",
    context_settings=CONTEXT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - the signature that typer calls
    if value:
        sys.stdout.write(f"spectra {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Layerwise activation, gradient and weight spectra of a series of language-model checkpoints."""


def main() -> NoReturn:
    """Run the command line and exit: errors on stderr, each kind with its own code."""
    # A terminal that knows no sigma gets a question mark, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    # Most objects of a command live to its end: looking for garbage at every 700th finds none.
    gc.set_threshold(100_000)
    try:
        code = _run()
        sys.stdout.flush()
    except SpectraError as error:
        code = _tell(error)
    except (KeyboardInterrupt, typer.Abort):
        code = interrupts.farewell()
    except _CommandLineError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            code = error.exit_code
        else:
            code = _tell(refusal(error))
    except _ReaderLeft:
        # The reader of our output left (| head): not an error, and nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception:
        # What libraries make of an interrupt that reached them inside a callback is no defect to trace.
        if not interrupts.asked():
            raise
        code = interrupts.farewell()
    gc.freeze()  # nor is there any to look for before the process ends
    sys.exit(code)


def _tell(error: SpectraError) -> int:
    """Say on stderr what went wrong and where there is more of it; returns its exit code."""
    sys.stderr.write(f"spectra: {_harmless(str(error))}\nmore: spectra explain {error.code}\n")
    return error.exit_code


def _harmless(message: str) -> str:
    """A message in which no name acts on the terminal; what a line end in a name begins stands indented."""
    first, *others = for_terminal(message, keep="\n").split("\n")
    return "\n".join([first, *(each if each.startswith("  ") else f"  {each}" for each in others)])


class _ReaderLeft(Exception):  # noqa: N818 - not an error
    """Whoever read our output closed it."""


def _run() -> int:
    """The exit code of one command; a closed pipe is told apart before typer makes it an exit of 1."""
    try:
        code: int = app(prog_name="spectra", standalone_mode=False) or 0
    except BrokenPipeError as error:
        raise _ReaderLeft from error
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise _ReaderLeft from error
        return error.code if isinstance(error.code, int) else 1
    if code == _TYPERS_INTERRUPT:
        raise KeyboardInterrupt
    return code
