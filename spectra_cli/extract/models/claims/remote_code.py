"""Code that a checkpoint brings (`auto_map` in config.json): refused by name, unless the user trusts it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from spectra_cli.core.errors import OwnCodeError
from spectra_cli.extract.models.users_code import told, users_code
from spectra_cli.extract.protocols import CheckpointHeader

# Put into a header's configuration by what reads the command line, which takes a file's own word off.
TRUST = "trust_remote_code"


def is_trusted(header: CheckpointHeader) -> bool:
    """Whether the user lets the checkpoint's own code run."""
    return header.config.get(TRUST) is True and bool(header.config.get("auto_map"))


def named_code(header: CheckpointHeader) -> str:
    """What code the configuration asks for, in words; empty where it asks for none."""
    code = header.config.get("auto_map")
    if not code:
        return ""
    named = code.items() if isinstance(code, Mapping) else {"auto_map": code}.items()
    return ", ".join(f"{role}: {place}" for role, place in named)


def own_class(header: CheckpointHeader, role: str) -> Any | None:
    """Run the checkpoint's code and take from it the class for `role`; None where it names none.

    Only for a trusted checkpoint. Code of another repository is taken from the hub's cache alone.

    Raises:
        ModelError: the code is not there, or fails.
    """
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    code = header.config["auto_map"]
    place = code.get(role) if isinstance(code, Mapping) else None
    if not isinstance(place, str):
        return None
    try:
        return get_class_from_dynamic_module(place, header.ref.uri, local_files_only=True)
    except (Exception, SystemExit) as error:  # such code may raise anything, or end the program
        missing = ". A snapshot of the hub has code only if all of it was fetched, as `hf download` does"
        raise OwnCodeError(
            f"{header.ref.uri}: its own code for {role}, {place}, cannot be run: {told(error)}"
            f"{missing if isinstance(error, OSError) else ''}"
        ) from error


def own_code(header: CheckpointHeader) -> AbstractContextManager[None]:
    """Run a model inside that may be of the checkpoint's own code: what that raises is told by its place."""
    return users_code(header.ref.uri, "its own code") if is_trusted(header) else nullcontext()
