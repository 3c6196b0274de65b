"""Archives of every released format are shown and checked whole on terminals of several widths."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectra_cli.analysis.compare.comparable import ASPECTS
from spectra_cli.analysis.comparison import CompareRequest
from spectra_cli.analysis.run import Axis
from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import DataError
from spectra_cli.render.forms.terminal import printed_lines
from spectra_cli.render.outputs.show import output as shown
from spectra_cli.render.outputs.validate import output as checked
from spectra_cli.workflows.compare import compare
from spectra_cli.workflows.show import show
from spectra_cli.workflows.validate import validate
from tests.builders.archives import write_planted_run

FILES = sorted((Path(__file__).parents[1] / "archive" / "formats").glob("*.h5"))
COMMANDS = {
    "show": lambda path: shown(show(path)),
    "validate": lambda path: checked(validate(path)),
}


def test_there_is_one_of_each_released_format():
    assert [path.stem for path in FILES] == ["1.0", "1.1", "1.2"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_number_step_or_notice_is_cut(path, command):
    parts = list(COMMANDS[command](path).tables())

    def lines(width: int) -> list[str]:
        return [text.plain for part in parts for text in printed_lines(part, width)]

    def numbers(width: int) -> set[str]:
        return {
            word.strip(",;") for line in lines(width) for word in line.split() if any(map(str.isdigit, word))
        }

    archive = open_archive(path)
    notices = {notice for info in archive.infos for notice in info.notices} if command == "show" else ()
    keys = {ref.key.removeprefix("step") for ref in archive.refs} if command == "show" else set()
    assert keys or command == "validate"
    for width in (60, 80, 100, 160):
        found = lines(width)
        assert [line for line in found if len(line) > width and "/" not in line] == []
        assert "…" not in "".join(found)
        assert numbers(width) <= numbers(1000)
        said = " ".join(" ".join(found).split())
        assert [notice for notice in notices if notice not in said] == []
        assert keys <= set(said.split())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_compare_refuses_what_was_measured_otherwise_and_finishes_where_that_is_allowed(path, tmp_path):
    steps, losses = [0, 5, 10], [4.5, 3.9, 3.2]
    other = write_planted_run(tmp_path / "b.spectra.h5", steps=steps, losses=losses, width=16, num_layers=2)
    with pytest.raises(DataError, match="were not measured in the same way: length: "):
        compare(CompareRequest(runs=(path, other), axis=Axis.STEP))
    found = compare(
        CompareRequest(runs=(path, other), axis=Axis.STEP, allowed=tuple(one.name for one in ASPECTS))
    )
    assert found.pairs[0].differences
    assert found.pairs[0].verdict
