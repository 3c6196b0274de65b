"""Paths as users give them: as text, or as any object that stands for one; both mean the same."""

from __future__ import annotations

import os
from pathlib import Path

from spectra_cli.core.errors import UsageError

AnyPath = str | os.PathLike[str]
"""A path as the caller has it; `os.fspath` makes text of it."""


def as_typed(path: Path) -> str:
    """The path as the user would type it here: from the working directory where it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def make_folder(folder: Path, flag: str) -> None:
    """Make a folder that a command writes into, with those around it, where it is not there.

    Args:
        folder: which; flag: the option that named it, for the message.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{flag} {folder} cannot be made: {error.strerror}. Name another folder with {flag}"
        ) from error
