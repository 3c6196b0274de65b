"""The names that training wrappers add to parameters, taken off again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from spectra_cli.core.errors import CheckpointError

Stored = TypeVar("Stored")

COMPILE_AND_DDP = ("_orig_mod", "module")
_ANYWHERE = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def unwrapped(
    state: Mapping[str, Stored], *, leading: tuple[str, ...] = COMPILE_AND_DDP
) -> tuple[dict[str, Stored], tuple[str, ...]]:
    """The state under its genuine names, and a notice that says what was taken off.

    Leading components go in any order and as often as they occur; those of FSDP and activation
    checkpointing, which no genuine name contains, go anywhere.

    Args:
        state: stored name -> anything.
        leading: components that are wrappers at the start of a name.

    Raises:
        CheckpointError: two stored names would become one.

    >>> unwrapped({"module._orig_mod.lm_head.weight": 0})
    ({'lm_head.weight': 0}, ('wrapper names removed from 1 of 1 tensors: _orig_mod, module',))
    """
    renamed: dict[str, Stored] = {}
    removed: set[str] = set()
    num_renamed = 0
    for name, value in state.items():
        genuine, taken = _split(name, leading)
        if genuine in renamed:
            raise CheckpointError(
                f"two tensors are called {genuine!r} once wrapper names are removed; one is stored as "
                f"{name!r}; expected one copy of the model"
            )
        renamed[genuine] = value
        removed |= taken
        num_renamed += bool(taken)
    if not removed:
        return renamed, ()
    names = ", ".join(sorted(removed))
    return renamed, (f"wrapper names removed from {num_renamed} of {len(renamed)} tensors: {names}",)


def _split(name: str, leading: tuple[str, ...]) -> tuple[str, set[str]]:
    components = name.split(".")
    start = 0
    while start < len(components) - 1 and components[start] in (*leading, *_ANYWHERE):
        start += 1
    kept = [part for part in components[start:] if part not in _ANYWHERE]
    taken = set(components[:start]) | (set(components[start:]) & set(_ANYWHERE))
    return ".".join(kept), taken
