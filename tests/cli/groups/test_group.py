"""A group of options is stated once: the help shows its heading, the command gets it as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spectra_cli.cli.app import app
from spectra_cli.cli.groups.group import OptionGroup, option, with_options
from spectra_cli.cli.help import Command
from spectra_cli.core.measurements import ASKED
from spectra_cli.core.settings import PRESETS
from spectra_cli.statistics.registry import DEFINITIONS


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


GROUP: Any = typer.main.get_command(app)


def offered(line, monkeypatch, capsys):
    """What bash is offered at the end of a command line."""
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
    monkeypatch.setenv("_SPECTRA_COMPLETE", "complete_bash")
    with pytest.raises(SystemExit):
        app(prog_name="spectra")
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("spectra scan run --preset ", list(PRESETS)),
        ("spectra inspect run --dtype f", ["float32", "float64"]),
        (
            "spectra compare a b --measure weights,",
            [f"weights,{name}" for name in ASKED if name != "weights"],
        ),
        ("spectra show run --statistic rankme_cov,head_", None),
        ("spectra drift run --against f", ["first"]),
        ("spectra study b", ["batch-size"]),
        ("spectra va", ["validate"]),
        ("spectra scan --vec", ["--vectors"]),
    ],
)
def test_names_are_offered(line, names, monkeypatch, capsys):
    if names is None:
        names = [f"rankme_cov,{name}" for name in DEFINITIONS if name.startswith("head_")]
        assert names
    assert offered(line, monkeypatch, capsys) == names


def test_what_is_offered_is_taken():
    """No completion offers a word that its option refuses; those of settings are checked by resolving."""
    from spectra_cli.core.settings import CHOICES, resolve_settings

    context = typer.Context(GROUP)
    options = {option.name: option for option in GROUP.commands["scan"].params}
    for name in CHOICES.keys() & options.keys():
        words = [item.value for item in options[name].shell_complete(context, "")]
        assert words
        for word in words:
            resolve_settings("default", {name: word})
