"""Packages that a user may do without, each brought by an extra of this distribution."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from spectra_cli.core.errors import MissingExtraError


def from_extra(module: str, extra: str, purpose: str) -> Any:
    """A module of a package that an extra brings.

    Args:
        module: its dotted name, which begins with that of the package.
        extra: of this distribution.
        purpose: what needs it, to begin a sentence with.

    Raises:
        UsageError: the package is not installed.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there, and lacks something of its own
        raise MissingExtraError(
            f"{purpose} needs the package {package}, which is not installed: "
            f"pip install 'llm-spectra[{extra}]'"
        ) from error
