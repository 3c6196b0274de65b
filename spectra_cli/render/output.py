"""What a command found, as one value that every form is written from, and which of its values stand there.

Names of a document and of rows are stated once, as `Fields`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from spectra_cli.core.series import Unfinished
from spectra_cli.render.table import Part

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A command's result, three ways. Each is made when a form asks for it, so that no other is waited for.

    Attributes:
        tables: paragraphs and tables, complete, for a reader.
        document: one JSON document.
        columns: of the rows, in order.
        rows: one flat table: a mapping a row, with a value or None for each column.
        notices: sentences of the tables and the document for which rows have no place.
    """

    tables: Callable[[], Iterable[Part]]
    document: Callable[[], Mapping[str, Any]]
    columns: Sequence[str]
    rows: Callable[[], Iterable[Mapping[str, Any]]]
    notices: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        found: Result,
        tables: Callable[[Result], Iterable[Part]],
        document: Callable[[Result], Mapping[str, Any]],
        columns: Sequence[str],
        rows: Callable[[Result], Iterable[Mapping[str, Any]]],
        notices: Sequence[str],
    ) -> Self:
        """The output of a result, by functions of it."""
        return cls(
            tables=partial(tables, found),
            document=partial(document, found),
            columns=columns,
            rows=partial(rows, found),
            notices=notices,
        )


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
