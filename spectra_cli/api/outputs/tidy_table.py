"""A tidy table, printed: its first and last rows, and where all of them are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spectra_cli.core.words.names import listed
from spectra_cli.core.words.numbers import finite, with_error
from spectra_cli.render.output import Output
from spectra_cli.render.table import Column, Line, Part, Table, line

if TYPE_CHECKING:
    from spectra_cli.api.values.tidy_table import TidyTable

SCHEMA = "spectra.table/1"
_MOST_ROWS, _AT_EACH_END = 40, 10
_LONGEST_CELL, _MOST_NAMED = 60, 6
_WHOLE = ".rows, .to_pandas(), .to_polars() and .to_xarray()"


def output(table: TidyTable) -> Output:
    """A tidy table, for every form; CSV and JSON have all of it."""
    return Output(
        tables=lambda: tables(table),
        document=lambda: {"schema": SCHEMA, "columns": list(table.columns), "rows": list(_rows(table))},
        columns=table.columns,
        rows=lambda: table.rows,
    )


def _rows(table: TidyTable) -> Iterator[Mapping[str, Any]]:
    for row in table.rows:
        yield {name: finite(value) if isinstance(value, float) else value for name, value in row.items()}


def tables(table: TidyTable) -> Iterator[Part]:
    """The table: what is the same in all rows below it, and of many rows the first and the last."""
    if not table.rows:
        yield line(f"{table.title or 'Table'}: no rows")
        return
    rows, told = table.rows, list[Line]()
    if len(rows) > _MOST_ROWS:
        rows = (*rows[:_AT_EACH_END], *rows[-_AT_EACH_END:])
        told = [
            line(
                f"{len(rows)} of {len(table)} rows: the first and the last {_AT_EACH_END}; {_WHOLE} have all"
            )
        ]
    always = (*table.index, *table.leading)
    beside = ("stderr",) if "value" in table.columns else ()  # it stands with the value
    same = [name for name in table.columns if name not in (*always, *beside) and _is_same(table, name)]
    if texts := [f"{name} {text}" for name in same if (text := _text(table.rows[0], name))]:
        told.append(line(f"the same in all rows: {', '.join(texts)}", style="dim"))
    told_of = (*same, *beside)
    names = [
        name
        for name in table.columns
        if name in table.index or (name not in told_of and any(_text(row, name) for row in rows))
    ]
    sentences = [name for name in names if name not in table.index and _has_sentences(rows, name)]
    names = [name for name in names if name not in sentences]
    told += [one for name in sentences for one in _told_of(rows, name, table.index)]
    yield Table(
        title=table.title,
        columns=[
            Column(
                title=name,
                is_number=_is_number(rows, name),
                is_key=name in table.index,
                dispensable=len(names) - place if table.leading and name not in always else 0,
            )
            for place, name in enumerate(names)
        ],
        rows=[[_text(row, name) or "-" for name in names] for row in rows],
        notes=told,
        elsewhere=f"{_WHOLE}, or a wider terminal",
    )


def _has_sentences(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a cell of the column would be a paragraph."""
    return any(len(text) > _LONGEST_CELL and " " in text for text in (_text(row, name) for row in rows))


def _told_of(rows: Sequence[Mapping[str, Any]], name: str, index: Sequence[str]) -> Iterator[Line]:
    """Each text of a column once, below the table, with the rows that have it."""
    having: dict[str, list[str]] = {}
    for row in rows:
        if text := _text(row, name):
            having.setdefault(text, []).append(" ".join(_text(row, key) for key in index))
    for text, keys in having.items():
        yield line(f"{name} of {listed(keys, _MOST_NAMED) or 'a row'}: {text}")


def _is_same(table: TidyTable, name: str) -> bool:
    """Whether a column says the same in every row of several."""
    first = table.rows[0][name]
    return len(table) > 1 and all(row[name] == first for row in table.rows)


def _is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    kinds = {type(row[name]) for row in rows} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def _text(row: Mapping[str, Any], name: str) -> str:
    """A value in few digits, with its standard error where the row has one."""
    value = row[name]
    if value is None:
        return ""
    if name == "value" and row.get("stderr") is not None:
        return with_error(value, row["stderr"])
    return f"{value:.6g}" if isinstance(value, float) else str(value)
