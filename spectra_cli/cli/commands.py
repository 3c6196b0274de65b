"""Every command by its name and heading. A new one is a file of this room, a line here, and a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from spectra_cli.cli.groups.group import with_options
from spectra_cli.cli.help import Command, write_sections

_MEASURE, _READ, _TRY = "Measure checkpoints", "Read archives", "Try it out"
_HEADINGS: Mapping[str, str] = {
    "scan": _MEASURE,
    "inspect": _MEASURE,
    "show": _READ,
    "compare": _READ,
    "forecast": _READ,
    "phases": _READ,
    "drift": _READ,
    "plot": _READ,
    "export": _READ,
    "validate": _READ,
    "demo": _TRY,
    "study": _TRY,
}


class Imported(Mapping[str, Any]):
    """The commands by name, each imported when it is asked for: `show` need not wait for what `scan` imports.

    A command NAME is the module NAME of this room: its `command`, and its examples as `EPILOG`.
    """

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in _HEADINGS:
            raise KeyError(name)
        if name not in self._made:
            module = import_module(f"{__package__}.{name}")
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            register = alone.command(name, cls=Command, epilog=module.EPILOG)
            register(with_options(module.command))
            self._made[name] = typer.main.get_command(alone)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_HEADINGS)

    def __len__(self) -> int:
        return len(_HEADINGS)


class Commands(TyperGroup):
    """All commands, under the headings of what they are for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": {}})
        self.commands = Imported()  # type: ignore[assignment]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its help."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            first = (command.help or "").partition("\n\n")[0].replace("\n", " ")
            sections.setdefault(_HEADINGS[name], []).append((name, first))
        write_sections(formatter, sections)
