"""An open file of which small variables are read once: for reading many checkpoints in a row.

Every access through HDF5 costs as much as a thousand numbers. What is small along all checkpoints (sizes,
sites, statuses, scalars) is read whole on first use; large arrays are read row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SMALL_BYTES = 2**21
_TEXT_BYTES = 64  # what a text of variable length is taken to be


class HeldGroup:
    """A group with the interface that reading uses; what was looked up stays."""

    def __init__(self, group: Any) -> None:
        """Hold what will be looked up in `group`, as long as its file is open."""
        self._group = group
        self._held: dict[str, Any] = {}
        self.attrs: dict[str, Any] = dict(group.attrs)

    def __getitem__(self, name: str) -> Any:
        if name not in self._held:
            child = self._group[name]
            if not hasattr(child, "dtype"):
                self._held[name] = HeldGroup(child)
            else:
                width = child.dtype.itemsize if child.dtype.kind != "O" else _TEXT_BYTES
                self._held[name] = _HeldVariable(child) if child.size * width <= SMALL_BYTES else child
        return self._held[name]

    def __contains__(self, name: str) -> bool:
        return name in self._held or name in self._group

    def __iter__(self) -> Iterator[str]:
        if "" not in self._held:
            self._held[""] = tuple(self._group)
        return iter(self._held[""])

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and children."""
        return ((name, self[name]) for name in self)

    def values(self) -> Iterator[Any]:
        """Children."""
        return (self[name] for name in self)


class _HeldVariable:
    """A variable, read whole."""

    def __init__(self, variable: Any) -> None:
        self._variable = variable
        self._values = variable[()]
        self._text: Any = None

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)

    def asstr(self, encoding: str | None = None, errors: str = "strict") -> Any:
        """The variable as text."""
        if self._text is None:
            self._text = self._variable.asstr(encoding, errors)[()]
        return self._text
