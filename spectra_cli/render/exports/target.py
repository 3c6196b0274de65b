"""What is exported, as flat tables or labelled arrays, and what a format is that takes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spectra_cli.render.tidy import TidyColumn

UNKNOWN_COUNT = -1
"""Stands for a missing integer where a format has no missing ones: all of them are counts."""
TEXT_KIND = np.dtype(object)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatTable:
    """One flat table, in parts so that it need not be held as a whole.

    Attributes:
        columns: in order.
        parts: column name -> its cells, as many of each; None, or a NaN, where a number is missing.
    """

    columns: tuple[TidyColumn, ...]
    parts: Iterable[Mapping[str, Sequence[Any]]]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One mapping a row, with None for a missing number."""
        for part in self.parts:
            for cells in zip(*(part[name] for name in self.names), strict=True):
                yield {name: _or_none(cell) for name, cell in zip(self.names, cells, strict=True)}

    def whole(self) -> dict[str, NDArray[Any]]:
        """Each column as one array: text as objects, missing integers as -1, other missing numbers as NaN."""
        collected: dict[str, list[Any]] = {name: [] for name in self.names}
        for part in self.parts:
            for name, cells in collected.items():
                cells.extend(part[name])
        return {column.name: as_array(column.kind, collected.pop(column.name)) for column in self.columns}


def as_array(kind: type, cells: Sequence[Any]) -> NDArray[Any]:
    """Cells of one kind as an array: text as objects, missing integers as -1, other missing numbers as NaN.

    >>> as_array(int, [3, None]).tolist(), as_array(float, [None, 0.5]).tolist()
    ([3, -1], [nan, 0.5])
    """
    if kind is str:
        texts = np.empty(len(cells), dtype=TEXT_KIND)
        texts[:] = cells
        return texts
    missing = UNKNOWN_COUNT if kind is int else math.nan
    return np.array(
        [missing if cell is None else cell for cell in cells], dtype=np.int64 if kind is int else np.float64
    )


def encodable(text: str) -> str:
    """The text, with what UTF-8 cannot hold written out: bytes of a file name that are none.

    >>> encodable("a\\udcff")
    'a\\\\udcff'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _or_none(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """An array with named dimensions.

    Attributes:
        name: of it; `dims`: of its dimensions, in order.
        values: numbers, or text as objects; missing integers are -1, other missing numbers NaN.
        meaning: in a few words; `unit`: of its numbers.
    """

    name: str
    dims: tuple[str, ...]
    values: NDArray[Any]
    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayGroup:
    """Arrays that share dimensions.

    Attributes:
        name: of the group.
        coordinates: along one dimension each, which they label; one of a dimension's own name is its index.
        variables: along some of the dimensions.
    """

    name: str
    coordinates: tuple[Variable, ...]
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTarget:
    """A format of one file.

    Attributes:
        write: a flat table to a stream of bytes.
        write_arrays: labelled arrays to one; None where a format knows tables alone, and spectra are one too.
        is_text: whether it can go to stdout.
        needs: module of a package that may not be installed, and the extra that brings it.
    """

    write: Callable[[FlatTable, BinaryIO], None]
    write_arrays: Callable[[Iterable[ArrayGroup], BinaryIO], None] | None = None
    is_text: bool = False
    needs: tuple[str, str] | None = None
