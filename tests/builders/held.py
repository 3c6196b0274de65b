"""How much memory the tensors and arrays of an object take."""

from __future__ import annotations

import numpy as np
import torch

from spectra_cli.extract.protocols import Model


def held_bytes(thing: object) -> int:
    """Of all tensors and arrays that can be reached from an object, the model's aside."""
    storages: dict[int, int] = {}
    seen: set[int] = set()

    def visit(one: object) -> None:
        if id(one) in seen or isinstance(one, Model | torch.nn.Module | type) or callable(one):
            return
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        elif isinstance(one, np.ndarray):
            storages[one.ctypes.data] = one.nbytes
        elif isinstance(one, dict):
            for value in [*one.keys(), *one.values()]:
                visit(value)
        elif isinstance(one, list | tuple | set | frozenset):
            for value in one:
                visit(value)
        else:
            for name in [*getattr(one, "__dict__", ()), *getattr(type(one), "__slots__", ())]:
                visit(getattr(one, name, None))

    visit(thing)
    return sum(storages.values())
