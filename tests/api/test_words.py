"""Every function has the words and the defaults of the command of its name."""

from __future__ import annotations

import inspect

import pytest
import typer

import spectra_cli
from spectra_cli.api.asked.options import ScanOptions
from spectra_cli.cli.app import app

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# What only says how a command prints: `spectra.table`, `spectra.document` and the results themselves do that.
OF_PRINTING = {"form", "as_json", "help", "taxonomy", "plot"}
# What only a command does: a whole set, a list, the browser, and a page at the end.
OF_COMMAND = {
    "plot": {"all", "list"},
    "report": {"open"},
    "scan": {"report"},
    "compare": {"report"},
}
# What only Python has, and why the command line does not.
# the command line has the bar on stderr alone, and no model in memory
OF_PYTHON = {"scan": {"progress", "tokens", "step"}, "plot": {"archives"}}
NAMES = [
    "scan",
    "inspect",
    "show",
    "compare",
    "forecast",
    "phases",
    "drift",
    "validate",
    "plot",
    "report",
    "export",
]


def words_of(command: str) -> dict[str, object]:
    """Word -> default of each argument and option of a command: its long flag, or its own name."""
    found = {}
    for option in COMMANDS[command].params:
        long = [flag.removeprefix("--").replace("-", "_") for flag in option.opts if flag.startswith("--")]
        if option.name not in OF_PRINTING:
            found[long[0] if long else option.name] = option.default
    return found


def test_every_command_that_reads_or_measures_is_a_function():
    assert set(NAMES) <= set(COMMANDS)
    assert set(NAMES) <= set(spectra_cli.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_function_takes_what_its_command_takes(name):
    parameters = inspect.signature(getattr(spectra_cli, name)).parameters
    assert set(parameters) - OF_PYTHON.get(name, set()) == set(words_of(name)) - OF_COMMAND.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_command(name):
    nothing = (None, "", (), ..., inspect.Parameter.empty)
    for word, parameter in inspect.signature(getattr(spectra_cli, name)).parameters.items():
        default, expected = parameter.default, words_of(name).get(word)
        if default not in nothing or (expected not in nothing and word not in ScanOptions.__annotations__):
            assert default == expected, word


@pytest.mark.parametrize("name", ["scan", "inspect"])
def test_a_misspelt_option_is_said_as_python_says_it(name):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'layer' \(did you mean layers\?\)"):
        getattr(spectra_cli, name)("runs/a", layer="0")
