"""The settings of a page are a run file that a scan takes."""

from __future__ import annotations

import tomllib

import pytest

import spectra_cli
from spectra_cli.archive.writer import write_archive
from spectra_cli.render.report.provenance import facts, report_command, scan_command, settings_toml
from spectra_cli.workflows.runs import open_runs
from tests.builders.archives import write_planted_run
from tests.builders.checkpoints import checkpoint
from tests.builders.provenance import provenance
from tests.builders.spectra import spectrum


@pytest.fixture
def run(tmp_path):
    path = write_planted_run(tmp_path / "a.spectra.h5", steps=[0, 1], losses=[2.0, 1.0])
    (opened,) = open_runs([path])
    return opened


def test_settings_are_read_back_as_they_were(run):
    settings = run.series.provenance.settings
    assert tomllib.loads(settings_toml(settings)) == {
        "scan": {name: value for name, value in settings.items() if value is not None}
    }


def test_a_scan_takes_the_settings(run, tmp_path):
    (tmp_path / "settings.toml").write_text(settings_toml(run.series.provenance.settings))
    # the settings are read before the folder is looked for, so that only its absence is left to complain of
    with pytest.raises(spectra_cli.SpectraError, match="nowhere"):
        spectra_cli.inspect(tmp_path / "nowhere", config=str(tmp_path / "settings.toml"))
    (tmp_path / "settings.toml").write_text("[scan]\nlayrs = 3\n")
    with pytest.raises(spectra_cli.SpectraError, match="layrs"):
        spectra_cli.inspect(tmp_path / "nowhere", config=str(tmp_path / "settings.toml"))


def test_commands_quote_what_a_shell_would_split(run, tmp_path):
    assert scan_command(run) == f"spectra scan {tmp_path / 'a'} --config settings.toml --probe val.bin"
    assert report_command(["a b.h5"], {"align": "step", "loss": None}, "out.html") == (
        "spectra report 'a b.h5' --align step -o out.html"
    )


def test_facts_name_the_archive_the_probe_and_the_versions(run):
    told = dict(facts(run))
    assert told["archive"] == str(run.series.path)
    assert told["probe digest"] == run.series.provenance.probe.digest
    assert "val.bin" in told["probe"]


def test_no_command_repeats_a_scan_of_tokens_in_memory(tmp_path):
    made_by = provenance(source="memory", format="memory")
    write_archive(tmp_path / "a.spectra.h5", [checkpoint([spectrum([2.0, 1.0])], provenance=made_by)])
    (opened,) = open_runs([tmp_path / "a.spectra.h5"])
    assert scan_command(opened) == ""
