"""What training arguments or the user state about a decoder, checked; and what to do where they do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from spectra_cli.core.errors import ModelError

Arguments = Mapping[str, Any]


def unstated(problem: str, *names: str) -> ModelError:
    """The error for something that nothing says: what to state, by its name, and where.

    Args:
        problem: what was found, with the checkpoint it was found in.
        names: of the entries, any of which would settle it.
    """
    words = [f"--set model.{name}=VALUE" for name in names]
    return ModelError(
        f"{problem}; say it with {' or '.join(words)}, in the table [model] of run.toml, or in args.json "
        "beside the checkpoints"
    )


def one_of(arguments: Arguments, name: str, allowed: tuple[str, ...], where: str) -> str | None:
    """The word stated under `name`, None if nothing is.

    Raises:
        ModelError: another word than those allowed.
    """
    value = arguments.get(name)
    if value is not None and value not in allowed:
        raise ModelError(f"{where}: {name} is {value!r}; expected {', '.join(allowed)}")
    return None if value is None else str(value)


def flag(arguments: Arguments, name: str, default: bool, where: str) -> bool:  # noqa: FBT001
    """The truth stated under `name`, else the default.

    Raises:
        ModelError: something else.
    """
    value = arguments.get(name)
    if value is not None and not isinstance(value, bool):
        raise ModelError(f"{where}: {name} is {value!r}; expected true or false")
    return default if value is None else value


def number(arguments: Arguments, name: str, default: float, where: str) -> float:
    """The finite number stated under `name`, else the default.

    Raises:
        ModelError: something else.
    """
    value = arguments.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ModelError(f"{where}: {name} is {value!r}; expected a number")
    return float(value)


def count(arguments: Arguments, name: str, where: str) -> int | None:
    """The positive integer stated under `name`, None if nothing is.

    Raises:
        ModelError: something else.
    """
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{where}: {name} is {value!r}; expected a positive integer")
    return value
