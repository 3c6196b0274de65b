"""What the command line itself refuses, before a command runs: in the words and kinds of all other errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.words.names import did_you_mean


def no_command(word: str, known: Iterable[str]) -> UnknownNameError:
    """The refusal of a command that there is not.

    >>> print(no_command("scna", ["scan", "show"]))
    there is no command scna (did you mean scan?); commands: scan, show
    """
    names = list(known)
    return UnknownNameError(
        f"there is no command {word}{did_you_mean(word, names)}; commands: {', '.join(names)}"
    )


def refusal(error: Any) -> UsageError:
    """What typer refuses, as an error of this package, with the nearest option where one is misspelt.

    Args:
        error: an exception of typer's that says what is wrong with a command line.
    """
    context = error.ctx
    if context is None:
        return UsageError(error.format_message())
    path = context.command_path
    if type(error).__name__ == "NoSuchOption":
        shown = context.command.get_params(context)
        flags = [flag for one in shown for flag in (*one.opts, *one.secondary_opts) if flag.startswith("-")]
        meant = did_you_mean(error.option_name, flags)
        return UnknownNameError(f"{path} has no option {error.option_name}{meant}; {path} --help lists them")
    usage = " ".join(context.get_usage().split())
    return UsageError(
        f"{path}: {error.format_message().rstrip('.')}. {usage}; {path} --help says what each is"
    )
