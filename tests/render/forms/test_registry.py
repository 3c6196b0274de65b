"""The seam between results and forms: neither side knows the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import spectra_cli
from spectra_cli.render.forms.registry import FORMS
from tests.builders import every_form

PACKAGE = Path(spectra_cli.__file__).parent
VALUES = {"output", "table", "text"}


def rendering_imports(file: Path) -> set[str]:
    return set(re.findall(r"from spectra_cli\.render\.(\w+)", file.read_text()))


@pytest.mark.parametrize("file", sorted((PACKAGE / "render" / "forms").glob("*.py")), ids=lambda f: f.stem)
def test_a_form_knows_of_no_command(file):
    assert rendering_imports(file) <= VALUES | {"forms"}
    assert "spectra_cli.workflows" not in file.read_text()


def test_no_command_and_no_table_knows_a_form():
    """An exported CSV file is the form of that name, written to a file."""
    knowing = [
        file.relative_to(PACKAGE).as_posix()
        for room in ("render", "cli", "workflows")
        for file in (PACKAGE / room).rglob("*.py")
        if "forms" in rendering_imports(file) and file.parent.name != "forms"
    ]
    assert sorted(knowing) == ["cli/groups/output.py", "render/exports/csv.py"]


def test_every_form_is_read_back():
    assert every_form.HOLDS.keys() == FORMS.keys()
