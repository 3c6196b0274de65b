"""What a shell is offered behind an option, as it asks for it."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from spectra_cli.cli.app import app
from spectra_cli.core.measurements import ASKED
from spectra_cli.core.settings import PRESETS
from spectra_cli.statistics.registry import DEFINITIONS

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
