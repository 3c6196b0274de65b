"""What a command prints, as plain values: paragraphs and tables. Nothing here knows of a terminal.

A table is complete: every column and cell that there is. Which of them have room, and how the rest is told
of, is decided in one place, `fitting`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One paragraph, without line ends.

    Attributes:
        pieces: its texts in order, each with its style (`bold`, `dim`, `yellow`, `red` or none).
        hang: cells by which its second and further lines are indented.
    """

    pieces: tuple[tuple[str, str], ...]
    hang: int = 0

    @property
    def text(self) -> str:
        """The paragraph without its styles."""
        return "".join(text for text, _ in self.pieces)


def line(*pieces: str | tuple[str, str], style: str = "", hang: int = 0) -> Line:
    """A paragraph of pieces, each a text or (text, its own style).

    >>> line(("a.h5", "bold"), "  2 checkpoints").text
    'a.h5  2 checkpoints'
    """
    return Line(pieces=tuple((p, style) if isinstance(p, str) else p for p in pieces), hang=hang)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        title: its head; a line end where it is best broken.
        is_number: stands to the right and is never broken; else words, which may be.
        is_key: says what a row is of: stands in every part of a table that is printed in parts.
        is_of_series: one of many alike; the first, the last and some evenly between may stand for all.
        dispensable: 0 for a column that always stands; of the others the lowest is left out first.
    """

    title: str
    is_number: bool = False
    is_key: bool = False
    is_of_series: bool = False
    dispensable: int = 0


def key(title: str, *, is_number: bool = False) -> Column:
    """A column that says what a row is of."""
    return Column(title=title, is_key=True, is_number=is_number)


def words(title: str) -> Column:
    """A column of words."""
    return Column(title=title)


def number(title: str, *, is_of_series: bool = False, dispensable: int = 0) -> Column:
    """A column of numbers."""
    return Column(title=title, is_number=True, is_of_series=is_of_series, dispensable=dispensable)


def sparks(title: str) -> Column:
    """A column of sparklines, which may go where there is no room."""
    return Column(title=title, is_number=True, dispensable=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, complete.

    Attributes:
        title: above it; none in a part of a longer text.
        columns, rows: each row has a text for each column.
        notes: below it.
        row_styles: place of a row -> its style.
        series: what the columns of a series are, such as `checkpoints`.
        elsewhere: where it stands whole, for a reader who has no room for all of it.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[Line] = ()
    row_styles: Mapping[int, str] = field(default_factory=dict)
    series: str = "checkpoints"
    elsewhere: str = "--format markdown, or a wider terminal"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} texts for {len(self.columns)} columns: {row}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure in characters.

    Attributes:
        draw: from cells of width to its lines, none of them wider; `draw_plain`: in ASCII alone.
    """

    draw: Callable[[int], Sequence[Line]]
    draw_plain: Callable[[int], Sequence[Line]]

    @property
    def text(self) -> str:
        """As it stands where there is room."""
        return "\n".join(line.text for line in self.draw(DRAWING_WIDTH))


DRAWING_WIDTH = 78
"""Cells of a drawing where nothing says how many there are."""

Part = Line | Table | Drawing
"""What a text for a reader is made of."""


def from_columns(
    columns: Mapping[str, Sequence[str]],
    *,
    title: str,
    keys_are_numbers: bool = False,
    left: Sequence[str] = (),
    dispensable: Mapping[str, int] | None = None,
    notes: Sequence[Line] = (),
) -> Table:
    """A table of columns by their titles; those without any value are left out.

    Args:
        columns: title -> a text for each row.
        title: of the table.
        keys_are_numbers: the first column, which is the key and stands in any case, holds numbers, not names.
        left: titles of columns of words; the others are numbers.
        dispensable: title -> what `Column.dispensable` is.
        notes: of the table.
    """
    first = next(iter(columns))
    shown = {name: cells for name, cells in columns.items() if name == first or set(cells) - {"-", ""}}
    return Table(
        title=title,
        columns=[
            Column(
                title=name,
                is_key=name == first,
                is_number=keys_are_numbers if name == first else name not in left,
                dispensable=(dispensable or {}).get(name, 0),
            )
            for name in shown
        ],
        rows=list(zip(*shown.values(), strict=True)),
        notes=notes,
    )
