"""The look of every table: a title, a ruled head, no frame."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def plain_table() -> Table:
    """An empty table."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)


def titled(title: str, table: Table, *notes: RenderableType) -> RenderableType:
    """A table under its title, with a blank line above and notes below."""
    return Group(Text(), Text(title, style="bold"), table, *notes)
