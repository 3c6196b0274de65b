"""What a command found, as one value that every form is written from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

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
