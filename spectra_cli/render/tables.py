"""The look of every table: a title, a ruled head, no frame."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def plain_table(*, gap: int = 3) -> Table:
    """An empty table.

    Args:
        gap: blanks between columns; one of them is the box's.
    """
    padding = (0, (gap - 1) // 2, 0, gap // 2)
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=padding, show_edge=False)


def titled(title: str, table: Table, *notes: RenderableType) -> RenderableType:
    """A table under its title, with a blank line above and notes below."""
    return Group(Text(), Text(title, style="bold"), table, *notes)
