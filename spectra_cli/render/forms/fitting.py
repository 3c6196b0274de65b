"""A table made to fit a width: the one place that decides what stands, and how what does not is told of.

In this order: less space between columns; heads broken at words; words and long names broken; of a series of
columns the first, the last and some evenly between; dispensable columns left out; the table in parts, each
with its key columns. A number is never cut, nor is a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spectra_cli.core.spacing import evenly
from spectra_cli.render.table import Column, Line, Table, line
from spectra_cli.render.text.neutral import for_terminal
from spectra_cli.render.text.wrapping import longest_word, width, wrapped

_GAPS = (3, 2)
# Cells below which a name or words are not broken while there is another way, and where there is none.
_LEAST_WORDS, _LEAST_OF_ALL = 20, 8
_LONGEST_HEAD = 18


def fitted(table: Table, room: int) -> Iterator[Line]:
    """The lines of a table, none wider than the room; its notes are paragraphs, to be wrapped."""
    columns = [_measured(table, place) for place in range(len(table.columns))]
    shown, told = _chosen(table, columns, room)
    if table.title:
        yield line("")
        yield line(table.title, style="bold")
    for number, part in enumerate(_parts(shown, room)):
        if number:
            yield line("")
        yield from _drawn(table, part, room)
    yield from (line(text, style="dim") for text in told)
    yield from table.notes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A column with its texts, and how wide it is and how narrow it can be."""

    column: Column
    head: tuple[str, ...]
    cells: tuple[str, ...]
    widest_cell: int
    narrowest: int
    widest_head_word: int

    @property
    def natural(self) -> int:
        return max(self.widest_cell, *map(width, self.head))

    @property
    def with_broken_head(self) -> int:
        return max(self.widest_cell, min(self.widest_head_word, _LONGEST_HEAD))

    def least(self, least_words: int) -> int:
        """The narrowest that it can be without a broken number."""
        if self.column.is_number:
            return self.with_broken_head
        words = max(self.narrowest, min(self.widest_head_word, _LONGEST_HEAD))
        return min(self.with_broken_head, max(least_words, words if words <= 2 * least_words else 0))


def _measured(table: Table, place: int) -> _Measured:
    column = table.columns[place]
    head = tuple(for_terminal(part) for part in column.title.split("\n"))
    cells = tuple(for_terminal(row[place]) for row in table.rows)
    return _Measured(
        column=column,
        head=head,
        cells=cells,
        widest_cell=max(map(width, cells), default=0),
        narrowest=max(map(longest_word, cells), default=0),
        widest_head_word=max(map(longest_word, head)),
    )


# ----------------------------------------------------------------------------- which columns


def _chosen(table: Table, columns: Sequence[_Measured], room: int) -> tuple[list[_Measured], list[str]]:
    """The columns that stand, in parts or not, and what is to be said of the others."""
    shown, told = list(columns), []
    if any(one.column.is_of_series for one in shown) and not _fits(shown, room):
        shown, left = _of_series(shown, room)
        if left:
            there = sum(one.column.is_of_series for one in shown)
            which = "first, last and evenly between" if there > 2 else "first and last"
            told.append(f"{there} of {there + left} {table.series}: {which}; {left} more: {table.elsewhere}")
    left_out = []
    for one in sorted((c for c in shown if c.column.dispensable), key=lambda c: c.column.dispensable):
        if _fits(shown, room):
            break
        shown.remove(one)
        left_out.append(one.column.title.replace("\n", " "))
    if left_out:
        told.append(f"left out for want of room: {', '.join(left_out)}; to see them: {table.elsewhere}")
    return shown, told


def _of_series(columns: Sequence[_Measured], room: int) -> tuple[list[_Measured], int]:
    """As many columns of the series as fit, evenly spaced with both ends, and how many are left out."""
    series = [one for one in columns if one.column.is_of_series]
    others = [one for one in columns if not one.column.is_of_series]
    narrowest = min(one.with_broken_head for one in series) + _GAPS[-1]
    for count in range(min(len(series), room // narrowest + 1), 2, -1):
        chosen = [series[place] for place in evenly(len(series), count)]
        if _fits([*others, *chosen], room):
            return [*others, *chosen], len(series) - count
    ends = [series[0], series[-1]] if len(series) > 1 else series
    return [*others, *ends], len(series) - len(ends)


def _fits(columns: Sequence[_Measured], room: int) -> bool:
    return sum(one.least(_LEAST_WORDS) for one in columns) + _GAPS[-1] * (len(columns) - 1) <= room


def _parts(columns: list[_Measured], room: int) -> Iterator[list[_Measured]]:
    """The columns in as few parts as fit, the key columns in each."""
    if _fits(columns, room):
        yield columns
        return
    keys = [one for one in columns if one.column.is_key]
    others = [one for one in columns if not one.column.is_key]
    part: list[_Measured] = []
    for one in others:
        if part and not _fits([*keys, *part, one], room):
            yield [*keys, *part]
            part = []
        part.append(one)
    if part or not others:
        yield [*keys, *part]


# ----------------------------------------------------------------------------- how they are drawn


def _drawn(table: Table, columns: Sequence[_Measured], room: int) -> Iterator[Line]:
    """Heads, a rule and rows."""
    gap, widths = _widths(columns, room)
    heads = [_head(one, wide) for one, wide in zip(columns, widths, strict=True)]
    height = max(map(len, heads))
    for number in range(height):
        # heads stand on the rule
        cells = [
            (head[number - height + len(head)] if number >= height - len(head) else "") for head in heads
        ]
        yield line(_row(columns, cells, widths, gap), style="bold")
    yield line("─" * (sum(widths) + gap * (len(widths) - 1)))
    for place in range(len(table.rows)):
        broken = [
            _broken(one.cells[place], wide) if width(one.cells[place]) > wide else [one.cells[place]]
            for one, wide in zip(columns, widths, strict=True)
        ]
        for number in range(max(map(len, broken))):
            cells = [lines[number] if number < len(lines) else "" for lines in broken]
            yield line(_row(columns, cells, widths, gap), style=table.row_styles.get(place, ""))


def _widths(columns: Sequence[_Measured], room: int) -> tuple[int, list[int]]:
    """The space between columns, and the width of each."""
    gap = _GAPS[-1]
    for gap in _GAPS:
        free = room - gap * (len(columns) - 1)
        widths = [one.natural for one in columns]
        if sum(widths) <= free:
            return gap, widths
    free = room - gap * (len(columns) - 1)
    for least in (
        [one.with_broken_head for one in columns],
        [one.least(_LEAST_WORDS) for one in columns],
        [one.least(_LEAST_OF_ALL) for one in columns],
    ):
        if sum(least) <= free:
            return gap, _widened(least, widths, free)
    return gap, _narrowed(columns, free)


def _widened(least: Sequence[int], wanted: Sequence[int], free: int) -> list[int]:
    """Widths between the two that fill what is free, a cell at a time to the one that lacks most."""
    widths = list(least)
    for _ in range(free - sum(least)):
        lacks = [want - have for want, have in zip(wanted, widths, strict=True)]
        if max(lacks) <= 0:
            break
        widths[lacks.index(max(lacks))] += 1
    return widths


def _narrowed(columns: Sequence[_Measured], free: int) -> list[int]:
    """Where nothing else fits: the widest gives way, and even its numbers go on in a next line."""
    widths = [one.least(_LEAST_OF_ALL) for one in columns]
    while sum(widths) > free and max(widths) > _LEAST_OF_ALL:
        widths[widths.index(max(widths))] -= 1
    return widths


def _head(one: _Measured, wide: int) -> list[str]:
    if all(width(part) <= wide for part in one.head):
        return list(one.head)
    return [part for piece in one.head for part in wrapped(piece, wide)]


def _broken(text: str, wide: int) -> list[str]:
    """A text over lines: at blanks, or a long name at a slash, a dot, an underscore, a dash."""
    lines = []
    for part in wrapped(text, wide) if " " in text else [text]:
        rest = part
        while width(rest) > wide:
            end = len(wrapped(rest, wide)[0])
            joint = max(rest.rfind(mark, 1, end) for mark in "/._-") + 1
            lines.append(rest[: joint if joint > end // 2 else end])
            rest = rest[len(lines[-1]) :]
        lines.append(rest)
    return lines


def _row(columns: Sequence[_Measured], cells: Sequence[str], widths: Sequence[int], gap: int) -> str:
    texts = []
    for one, cell, wide in zip(columns, cells, widths, strict=True):
        blanks = " " * (wide - width(cell))
        texts.append(blanks + cell if one.column.is_number else cell + blanks)
    return (" " * gap).join(texts).rstrip()
