"""Which form a command is asked for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from spectra_cli import cli
from spectra_cli.cli.groups.output import OutputOptions, emit
from spectra_cli.core.errors import UsageError
from spectra_cli.render.forms.registry import FORMS, form_of
from spectra_cli.render.output import Output
from spectra_cli.render.table import line


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_asked_for_by_its_word(form):
    assert OutputOptions(form=form).resolve() == form


def test_a_table_is_the_default_and_json_has_an_option_of_its_own():
    assert OutputOptions().resolve() == "table"
    assert (
        OutputOptions(as_json=True).resolve() == OutputOptions(as_json=True, form="json").resolve() == "json"
    )


@pytest.mark.parametrize("form", FORMS.keys() - {"json"})
def test_two_forms_are_refused(form):
    with pytest.raises(UsageError, match=f"--json contradicts --format {form}"):
        OutputOptions(as_json=True, form=form).resolve()


def test_an_unknown_form_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=f"--format yaml: expected one of {', '.join(FORMS)}"):
        OutputOptions(form="yaml").resolve()


OUTPUT = Output(
    tables=lambda: [line("few rows")],
    document=lambda: {"notices": ["few rows"]},
    columns=("a",),
    rows=lambda: [{"a": 1}],
    notices=["few rows"],
)


@pytest.mark.parametrize("form", FORMS)
def test_every_notice_is_told_once(capsys, form):
    emit(OUTPUT, form)
    out, err = capsys.readouterr()
    assert (out + err).count("few rows") == 1
    assert err == ("" if form_of(form).holds_notices else "few rows\n")


def test_what_no_form_asks_for_is_not_made(capsys):
    def never() -> dict[str, str]:
        raise AssertionError

    emit(Output(tables=never, document=never, columns=("a",), rows=lambda: [{"a": 1}]), "csv")
    assert capsys.readouterr().out == "a\n1\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [("show", "run"), ("export", "run", "-o", "-", "--format", "csv")])
def test_a_full_disk_behind_stdout_is_said(start, place, words):
    with open("/dev/full", "w") as full:
        process = start(*words, cwd=place, stdout=full)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 3
    assert err.startswith("spectra: cannot write to stdout: No space left on device. ")
    assert err.splitlines()[1:] == ["more: spectra explain cannot-write"]


def _calls(file: Path) -> list[str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    return [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]


@pytest.mark.parametrize("file", sorted(Path(cli.__file__).parent.rglob("*.py")), ids=lambda file: file.stem)
def test_a_command_emits_and_writes_nothing_by_itself(file):
    calls = _calls(file)
    if file.name not in ("app.py", "output.py"):  # errors and the version; the one place
        assert not [name for name in calls if name.endswith(("stdout.write", "print", ".write_text"))]
    is_command = "def command(" in file.read_text()
    # exports and pictures are files, and figures are listed
    expected = 0 if file.name == "export.py" else 1
    assert calls.count("emit") == (expected if is_command else 0)
