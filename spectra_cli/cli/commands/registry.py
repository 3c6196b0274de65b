"""Every command by its name, heading and first sentence. One more is a file, a line here, and a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from spectra_cli.cli.groups.group import with_options
from spectra_cli.cli.help import Command, write_sections
from spectra_cli.cli.refusals import no_command

_MEASURE, _READ, _HELP, _TRY = (
    "Measure checkpoints",
    "Read archives",
    "When something is refused",
    "Try it out",
)
# name -> its heading, and the first sentence of its help, for which `spectra --help` need not import it
COMMANDS: Mapping[str, tuple[str, str]] = {
    "scan": (_MEASURE, "Measure a series of checkpoints into an archive."),
    "inspect": (_MEASURE, "Show what a scan would measure, and how."),
    "show": (_READ, "Print the statistics of an archive, with standard errors."),
    "compare": (_READ, "Compare runs at equal loss: where they differ inside, and whether beyond the noise."),
    "forecast": (
        _READ,
        "Forecast the tokens that runs need to a loss from the spectrum of an early checkpoint.",
    ),
    "phases": (_READ, "Find warm-up, entropy-seeking and compression-seeking phases of a run."),
    "drift": (
        _READ,
        "Tell whether training turned the principal directions of the weights, or kept off them.",
    ),
    "plot": (_READ, "Draw what archives hold: one figure, or with --all every figure and an index."),
    "report": (_READ, "Write one page that says what changed inside, shows it, and lets its reader look."),
    "export": (
        _READ,
        "Write what archives hold for other programs: tables, one value a row, or the spectra themselves.",
    ),
    "validate": (_READ, "Check an archive against its format."),
    "explain": (_HELP, "Say what an error means and what to do, by the code in its last line."),
    "demo": (_TRY, "Train two tiny runs, scan and show them."),
    "study": (
        _TRY,
        "Train a small family of runs, scan it, and print what a finding looks like at that scale.",
    ),
}


class Imported(Mapping[str, Any]):
    """The commands by name, each imported when it is asked for: `show` need not wait for what `scan` imports.

    A command NAME is the module NAME of this room: its `command`, and its examples as `EPILOG`.
    """

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._made:
            module = import_module(f"{__package__}.{name}")
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            register = alone.command(name, cls=Command, epilog=module.EPILOG)
            register(with_options(module.command))
            self._made[name] = typer.main.get_command(alone)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """All commands, under the headings of what they are for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": {}})
        self.commands = Imported()  # type: ignore[assignment]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant, its name, and the words for it.

        Raises:
            UnknownNameError: there is no such command.
        """
        word = args[0]
        if not (word.startswith("-") or word in COMMANDS or ctx.resilient_parsing):
            raise no_command(word, COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with what it does."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, (heading, first) in COMMANDS.items():
            sections.setdefault(heading, []).append((name, first))
        write_sections(formatter, sections)
