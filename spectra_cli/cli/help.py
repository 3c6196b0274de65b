"""The help of a command: its options under the headings of their groups, nothing cut, no colour."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from textwrap import wrap
from typing import Any

from typer.core import TyperCommand

WIDTH = 100  # at most; the terminal's own below that
_NAMES_WIDTH = 24  # of the column of names, at most: a longer one has a line to itself
CONTEXT = {"help_option_names": ["--help", "-h"], "max_content_width": WIDTH}


def examples(*lines: str) -> str:
    """Command lines to be shown below the options, as they stand."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Command(TyperCommand):
    """One command: what is its own first, what it shares with others under their headings, help last."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS]`, then the arguments: in brackets where they may be left out."""
        pieces = ["[OPTIONS]"]
        for argument in self.get_params(ctx):
            if argument.param_type_name == "argument":
                name, several = str(argument.metavar), "" if argument.nargs == 1 else "..."
                pieces.append(name if argument.required else f"[{name}]{several}")
        return pieces

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the command does, no name broken at a hyphen."""
        for paragraph in cleandoc(self.help or "").split("\n\n"):
            lines = wrap(paragraph, formatter.width - 2, break_on_hyphens=False, break_long_words=False)
            formatter.write("".join(f"\n  {line}" for line in lines) + "\n")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, a section a group."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is None:
                continue
            own = "Options"
            if parameter.param_type_name == "argument":
                own, record = "Arguments", (str(parameter.metavar), record[1])
            panel = getattr(parameter, "rich_help_panel", None) or own
            if parameter.name == "help":
                panel = list(sections)[-1]
            sections.setdefault(panel, []).append(record)
        write_sections(formatter, sections)


def write_sections(formatter: Any, sections: Mapping[str, list[tuple[str, str]]]) -> None:
    """Write the sections, their second columns one below the other and no word broken."""
    names = [len(name) for rows in sections.values() for name, _ in rows]
    column = 4 + max((length for length in names if length <= _NAMES_WIDTH), default=0)
    for title, rows in sections.items():
        if not rows:
            continue
        with formatter.section(title):
            for name, words in rows:
                head = f"  {name}".ljust(column)
                lines = wrap(words, formatter.width - column, break_on_hyphens=False, break_long_words=False)
                if len(head) > column:
                    formatter.write(head + "\n")
                    head = " " * column
                formatter.write((head + f"\n{' ' * column}".join(lines)).rstrip() + "\n")
