"""The page on exporting, run from its first line to its last in a folder of planted archives."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from docs import generate
from spectra_cli.cli.app import app
from spectra_cli.core.extras import from_extra
from spectra_cli.render.exports.registry import FILES
from spectra_cli.render.exports.target import FlatTable
from spectra_cli.render.tidy import TidyColumn
from tests.builders.installed import needs
from tests.builders.read_exports import NEEDED

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "export.md"
EXTENDING = PAGE.with_name("extend.md")


@pytest.fixture(scope="module")
def exported(write_run, tmp_path_factory) -> Path:
    """A folder with two archives and everything that the commands of the page make of them."""
    needs("pandas", *(package for packages in NEEDED.values() for package in packages))
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("adamw", "muon"):
            sizes = {"num_layers": 4, "width": 8, "noise": 0.01}  # too narrow for ten ranks
            write_run(Path(f"{name}.spectra.h5"), steps=[0, 100, 300], losses=[4.0, 3.5, 3.0], **sizes)
        blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
        for command in (one for block in blocks for one in generate.commands_of(block)):
            if command.startswith("spectra "):
                words = shlex.split(command.partition(" | ")[0])
                result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
                assert result.exit_code == 0, f"{command}: {result.output}"
    return folder


def test_every_snippet_of_the_page_runs(exported, monkeypatch):
    monkeypatch.chdir(exported)
    names: dict[str, Any] = {}
    for snippet in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if "wandb.init" not in snippet:  # which tests/render/exports/test_trackers.py runs
            exec(snippet, names)  # noqa: S102 - the page's own code
    assert list(names["over_steps"].index) == [0, 100, 300]
    assert {archive for archive, _ in names["over_steps"].columns} == {"adamw", "muon"}
    assert names["reasons"]["len"].sum() > 0
    assert [*names["largest"].step.values] == [0, 100, 300]
    assert names["dims"] == ["checkpoint", "site", "rank"]
    assert {path.parent.name for path in exported.glob("tensorboard/*/*")} == {"adamw", "muon"}
    assert names["eigenvalues"].shape == names["errors"].shape == (6, 4, 8)


def test_the_page_tells_of_every_format():
    assert re.findall(r"^\| `\.(\w+)` \|", PAGE.read_text(), re.MULTILINE) == [*FILES]


def test_the_example_of_an_export_runs():
    needs("pyarrow")
    (snippet,) = [
        one
        for one in re.findall(r"```python\n(.*?)```", EXTENDING.read_text(), re.DOTALL)
        if "FileTarget(" in one
    ]
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - the page's own code
    columns = (
        TidyColumn(name="site", kind=str, meaning=""),
        TidyColumn(name="value", kind=float, meaning=""),
    )
    rows: list[dict[str, Any]] = [{"site": "embed", "value": 0.1}, {"site": "lm_head", "value": None}]
    stream = io.BytesIO()
    part = {name: [row[name] for row in rows] for name in rows[0]}
    names["TARGET"].write(FlatTable(columns=columns, parts=[part, part]), stream)
    from_extra(*names["TARGET"].needs, "the example")
    import pyarrow

    assert pyarrow.ipc.open_file(stream.getvalue()).read_all().to_pylist() == rows * 2
