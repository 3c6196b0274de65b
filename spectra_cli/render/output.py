"""What a command found, as one value that every form is written from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spectra_cli.render.table import Part


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
