"""Which values of a result stand in a document or a row, and under what names: each stated once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from spectra_cli.core.unfinished import Unfinished


class Fields:
    """Attributes of a result by the names of a document or a row.

    >>> Fields("real whole=imag").of(1.5 + 2j)
    {'real': 1.5, 'whole': 2.0}
    """

    def __init__(self, stated: str) -> None:
        """Take names with blanks between; `name=path` for one that is held elsewhere: `layer=site.layer`."""
        pairs = [word.partition("=") for word in stated.split()]
        self._paths = {name: (path or name).split(".") for name, _, path in pairs}
        self.names = tuple(self._paths)

    def of(self, result: object) -> dict[str, Any]:
        """Name -> value as JSON has it; all None of a result that is not there."""
        return {name: plain(_at(result, path)) for name, path in self._paths.items()}


def _at(result: object, path: list[str]) -> Any:
    for name in path:
        result = None if result is None else getattr(result, name)
    return result


def plain(value: Any) -> Any:
    """A value as JSON has it: None for NaN and infinities, text for paths and members of enumerations.

    >>> plain({"at": (1.0, math.nan)})
    {'at': [1.0, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Unfinished):
        return value.document()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {plain(name): plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (tuple, list)) else value
