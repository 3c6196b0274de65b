"""The page on exporting, run from its first line to its last in a folder of planted archives."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from docs import generate
from spectra_cli.cli.app import app
from spectra_cli.render.exports.registry import FILES

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "export.md"


@pytest.fixture(scope="module")
def exported(write_run, tmp_path_factory) -> Path:
    """A folder with two archives and everything that the commands of the page make of them."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in "ab":
            sizes = {"num_layers": 4, "width": 8, "noise": 0.01}  # too narrow for ten ranks
            write_run(Path(f"{name}.spectra.h5"), steps=[0, 10, 20], losses=[4.0, 3.5, 3.0], **sizes)
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
    assert list(names["over_steps"].index) == [0, 10, 20]
    assert {archive for archive, _ in names["over_steps"].columns} == {"a", "b"}
    assert names["reasons"]["len"].sum() > 0
    assert [*names["largest"].step.values] == [0, 10, 20]
    assert names["dims"] == ["checkpoint", "site", "rank"]
    assert {path.parent.name for path in exported.glob("tensorboard/*/*")} == {"a", "b"}
    assert names["eigenvalues"].shape == names["errors"].shape == (6, 4, 8)


def test_the_page_tells_of_every_format():
    assert re.findall(r"^\| `\.(\w+)` \|", PAGE.read_text(), re.MULTILINE) == [*FILES]
