"""Paths as users give them: as text, or as any object that stands for one; both mean the same."""

from __future__ import annotations

import os
from pathlib import Path

from spectra_cli.core.errors import UsageError

AnyPath = str | os.PathLike[str]
"""A path as the caller has it; `os.fspath` makes text of it."""


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
