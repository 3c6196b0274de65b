"""`spectra.export` writes what the command writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import spectra_cli as spectra
from spectra_cli.core.errors import UsageError
from tests.builders.archives import write_planted_run


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_planted_run(tmp_path_factory.mktemp("export") / "a.spectra.h5", steps=[0, 100])


def test_the_rows_are_those_of_the_run(archive, tmp_path):
    target = tmp_path / "a.jsonl"
    done = spectra.export(spectra.open(archive), output=target, statistic="rankme_cov", step=100)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    wanted = spectra.open(archive).table(statistics="rankme_cov", steps=100).rows
    assert [row["value"] for row in rows] == [row["value"] for row in wanted]
    assert done.files == (target,)
    assert done.said == (f"{target}: {len(rows)} rows of 1 run, 1 checkpoint",)
    assert str(done) == done.said[0]
    with pytest.raises(UsageError, match="exists"):
        spectra.export(archive, output=target)


def test_a_tracker_gets_its_file(archive, tmp_path):
    done = spectra.export(archive, to=("wandb", tmp_path / "a.jsonl"))
    assert done.files == (tmp_path / "a.jsonl",)
    assert not done.left_out
    assert Path(done.files[0]).stat().st_size


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nowhere to export to"),
        ({"output": "a.csv", "to": ("wandb", "b")}, "-o contradicts --to"),
        ({"output": "-"}, "only the command writes to stdout"),
        ({"to": ("wandb", "-")}, "only the command writes to stdout"),
        ({"output": "a.xls"}, "csv"),
    ],
)
def test_what_cannot_be_is_refused(archive, asked, said):
    with pytest.raises(UsageError, match=said):
        spectra.export(archive, **asked)
