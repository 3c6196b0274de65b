"""The rows of a training log, CSV or JSONL, of which the last may still be being written."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from spectra_cli.core.bounded_text import parse_json, read_bounded
from spectra_cli.core.errors import UsageError
from spectra_cli.core.words.plurals import counted

_MOST_BYTES, _MOST_COLUMNS = 1 << 28, 1 << 12
UNFINISHED_LINE: Final = (
    "its last line has no line end and is not whole: left out; it counts when it is written to its end"
)


@dataclass(frozen=True, slots=True)
class CutCell:
    """The last cell of a last line without a line end: `2` may be the begin of `2.8`."""

    text: str


class LogRows:
    """The rows of one file, read anew each time.

    Attributes:
        columns: the names of all columns, in the order in which they come up.
        twice: the names that more than one column of a CSV has, or more than one value of a JSON object.
        is_unfinished: the last line of JSONL is no whole object and has no line end: it is left out.
    """

    def __init__(self, path: Path) -> None:
        """Read the file and the names of its columns.

        Raises:
            UsageError: no such file, empty, no text, more columns or bytes than are read, or not a log.
        """
        self._path, self._content = path, _read(path)
        self.is_unfinished = False
        first = next((line for line in self._lines() if line.strip()), None)
        if first is None:
            raise UsageError(f"--log {path}: it is empty; expected CSV or JSONL")
        self._is_json = first.lstrip().startswith("{")
        self._delimiter = max(",\t;", key=first.count)
        if not self._is_json and first.count(self._delimiter) >= _MOST_COLUMNS:
            raise UsageError(
                f"--log {path}: {first.count(self._delimiter) + 1} columns, where at most {_MOST_COLUMNS} "
                "are read"
            )
        self.twice: frozenset[str] = frozenset()
        self.columns = self._names()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """One row after another, column -> cell; none is kept.

        Raises:
            UsageError: a line that is not JSON, or of more cells than the first.
        """
        return self._json_rows() if self._is_json else self._csv_rows()

    def _names(self) -> list[str]:
        names: dict[str, None] = {}
        for row in self:
            names |= dict.fromkeys(row)
            if len(names) > _MOST_COLUMNS:
                raise UsageError(f"--log {self._path}: more columns than the {_MOST_COLUMNS} that are read")
        return list(names)

    def _lines(self) -> Iterator[str]:
        try:
            yield from io.TextIOWrapper(io.BytesIO(self._content), encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UsageError(f"--log {self._path} is not text: expected CSV or JSONL") from error

    def _csv_rows(self) -> Iterator[dict[str, Any]]:
        reader = csv.reader(self._lines(), delimiter=self._delimiter)
        header: list[str] | None = None
        last: list[str] = []
        try:
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if header is None:
                    header = cells
                    self.twice = frozenset(name for name, uses in Counter(header).items() if uses > 1)
                    continue
                if any(cell.strip() for cell in cells[len(header) :]):
                    raise UsageError(
                        f"--log {self._path}: line {reader.line_num} has {counted(len(cells), 'cell')} under "
                        f"{counted(len(header), 'column')}; expected numbers with a point, no comma, "
                        "and lines that do "
                        "not run into each other: mend or delete the line"
                    )
                if last:
                    yield dict(zip(header, last, strict=False))
                last = cells
        except csv.Error as error:
            raise UsageError(f"--log {self._path} is not CSV: {error}; expected CSV or JSONL") from error
        if header and last:
            yield dict.fromkeys(header) | dict(zip(header, self._with_cut_cell(last), strict=False))
        elif header:
            yield dict.fromkeys(header, "")

    def _with_cut_cell(self, cells: list[str]) -> list[str | CutCell]:
        """The cells of the last line; a quote or a line end says that the last of them is whole."""
        end = self._content.rstrip(b" \t")[-1:]
        if end in (b"\n", b"\r") or (end == b'"' and cells[-1] and not cells[-1].endswith('"')):
            return [*cells]
        return [*cells[:-1], CutCell(cells[-1])]

    def _json_rows(self) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self._lines(), start=1):
            if not line.strip():
                continue
            try:
                row = parse_json(line, object_pairs_hook=_Pairs)
            except (ValueError, RecursionError) as error:
                if not line.endswith("\n"):  # only the last line has none
                    self.is_unfinished = True
                    return
                raise UsageError(f"--log {self._path}: line {number} is not JSON: {error}") from error
            if not isinstance(row, _Pairs):
                raise UsageError(f"--log {self._path}: line {number} is not a JSON object")
            leaves = list(_leaves(row))
            flat = dict(leaves)
            self.twice |= {name for name, uses in Counter(n for n, _ in leaves).items() if uses > 1}
            yield flat


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written: a name may come twice."""


def _leaves(row: _Pairs) -> Iterator[tuple[str, Any]]:
    """The values of a row, those of an object inside it as `outer/inner`."""
    for name, value in row:
        for key, leaf in value if isinstance(value, _Pairs) else [("", value)]:
            yield f"{name}/{key}" if key else name, leaf


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, _MOST_BYTES, UsageError, where="--log ")
    except OSError as error:
        raise UsageError(f"--log {path}: {error.strerror}") from error
