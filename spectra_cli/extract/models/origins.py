"""Which tensors of a checkpoint a module was made from, whatever it calls them.

The storages are followed through the operations of the builder: copies, casts, transposes, slices, sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_NONE: frozenset[str] = frozenset()


class Origins(TorchDispatchMode):
    """Follows tensors for as long as it is entered.

    Args:
        state: those to follow, by name.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names: dict[int, frozenset[str]] = {}
        for name, tensor in state.items():
            self._names[_storage(tensor)] = self.of(tensor) | {name}

    def of(self, tensor: Tensor) -> frozenset[str]:
        """The names of all that went into a tensor; none where nothing of the checkpoint did."""
        return self._names.get(_storage(tensor), _NONE)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run one operation: what it returns is made of all that it was given."""
        given = (args, kwargs or {})
        names = _NONE.union(*(self.of(tensor) for tensor in _tensors(given)))
        out = func(*args, **(kwargs or {}))
        # some write into what they were given and return nothing
        for tensor in _tensors(given if out is None else out):
            if names:
                self._names[_storage(tensor)] = names
            else:  # perhaps at the place of one that is gone
                self._names.pop(_storage(tensor), None)
        return out


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))
