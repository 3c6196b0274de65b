"""A group of options is stated once: the help shows its heading, the command gets it as one value."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from spectra_cli.cli.groups.group import OptionGroup, option, with_options
from spectra_cli.cli.help import Command


@dataclass(frozen=True, kw_only=True)
class Size(OptionGroup):
    panel = "How large"

    width: int = option("In cells.", "--width", "-w", default=3)
    names: list[str] | None = option("Of the rows.", "--name")


def invoke(*words):
    got = []

    def command(place: str, *, size: Size, quiet: bool = False) -> None:
        """Do it."""
        got.append((place, size, quiet))

    app = typer.Typer(rich_markup_mode=None)
    app.command(cls=Command)(with_options(command))
    return CliRunner().invoke(app, words), got


def test_a_command_gets_its_group_as_one_value():
    _, got = invoke("here", "-w", "5", "--name", "a", "--name", "b", "--quiet")
    assert got == [("here", Size(width=5, names=["a", "b"]), True)]


def test_defaults_are_those_of_the_group():
    _, got = invoke("here")
    assert got == [("here", Size(), False)]


def test_the_help_shows_the_group_under_its_heading():
    result, got = invoke("--help")
    assert not got
    head, _, section = result.output.partition("How large:\n")
    assert "Do it." in head
    assert "--width" not in head
    assert section.index("-w, --width") < section.index("--name") < section.index("--help")
    assert "--quiet" in head


def test_a_name_in_two_groups_is_a_defect():
    def command(*, size: Size, width: int = 1) -> None:
        """Do it."""

    with pytest.raises(ValueError, match="duplicate parameter name: 'width'"):
        with_options(command)
