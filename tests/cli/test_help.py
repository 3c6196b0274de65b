"""The help of every command: nothing cut, headings, examples that are true."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spectra_cli.cli.app import app
from spectra_cli.cli.help import CONTEXT

GROUP: Any = typer.main.get_command(app)
COMMANDS = GROUP.commands


def help_of(name="", width=80):
    size = {"terminal_width": width, "max_content_width": width}
    top = typer.Context(GROUP, info_name="spectra", **CONTEXT | size)
    return typer.Context(COMMANDS[name], top, name).get_help() if name else top.get_help()


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_word_is_cut(name, width):
    text = help_of(name, width=width)
    command = COMMANDS[name]
    shown = set(text.split())
    for parameter in command.params:
        assert set(parameter.opts) <= {word.rstrip(",") for word in shown} | {parameter.name}
        assert set(parameter.help.split()) <= shown, parameter.name
    assert all(len(line) <= width for line in text.partition("Examples:")[0].splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_values_are_named_in_the_words_of_the_field(name):
    text = help_of(name, width=100)
    arguments = [p for p in COMMANDS[name].params if p.param_type_name == "argument"]
    pieces = [p.metavar if p.required else f"[{p.metavar}]" + "..." * (p.nargs != 1) for p in arguments]
    assert text.splitlines()[0] == " ".join(["Usage: spectra", name, "[OPTIONS]", *pieces])
    assert not re.search("[<>{}]", text.partition("Examples:")[0].replace("[x>=1]", "").replace("x>=1", ""))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_value_is_not_called_as_its_option(name):
    options = [p for p in COMMANDS[name].params if p.param_type_name == "option"]
    alike = {p.name for p in options if p.metavar and p.metavar == p.opts[0].strip("-").upper()}
    assert alike <= {"steps", "dtype", "device", "folder"}


def test_no_name_is_broken_at_a_hyphen():
    for width in range(60, 101):
        assert "early-tail" in help_of("study", width=width).partition("Arguments:")[0]


def test_the_list_of_commands_has_their_whole_sentences():
    text = " ".join(help_of().split())
    for name, command in COMMANDS.items():
        assert f"{name} {' '.join(command.help.split(chr(10) * 2)[0].split())}" in text


@pytest.mark.parametrize("words", [(), ("scan",)])
def test_the_short_option_shows_the_same(words):
    result = CliRunner().invoke(app, [*words, "-h"], prog_name="spectra", terminal_width=80)
    assert (result.exit_code, result.output) == (0, help_of(*words) + "\n")


@pytest.mark.parametrize("name", ["scan", "inspect"])
def test_options_of_a_scan_stand_under_headings(name):
    headings = re.findall(r"^([A-Z].*):$", help_of(name), re.MULTILINE)
    common = [
        "Arguments",
        "Probe",
        "Which checkpoints",
        "What is measured",
        "What you know of them",
        "Resources",
        "Output",
    ]
    assert [each for each in headings if each != "The archive"] == common


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_command_lines(name):
    lines = [line.strip() for line in help_of(name).partition("Examples:\n")[2].splitlines()]
    assert lines
    for line in lines:
        assert len(line) <= 74, "wider than the narrowest usual terminal"
        spectra, command, *words = shlex.split(line.partition(" > ")[0])
        assert (spectra, command in COMMANDS) == ("spectra", True)
        with COMMANDS[command].make_context(f"spectra {command}", words, **CONTEXT):
            pass
