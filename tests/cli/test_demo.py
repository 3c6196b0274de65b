from __future__ import annotations

import unicodedata

import pytest

from spectra_cli.extract.demo import training
from spectra_cli.extract.demo.settings import DemoSettings
from spectra_cli.render.forms.registry import FORMS
from spectra_cli.render.outputs.demo import output
from spectra_cli.workflows import demo as workflow
from spectra_cli.workflows.show import show
from tests.builders.every_form import nothing_is_lost


@pytest.fixture(autouse=True)
def small(monkeypatch):
    settings = DemoSettings(
        num_train=64, num_validation=32, n_head=2, n_embd=16, batch_size=8, num_steps=3, save_steps=(0, 3)
    )
    monkeypatch.setattr(training, "DemoSettings", lambda: settings)
    sizes = {"num_sequences": 16, "num_gradient_sequences": 16, "num_blocks": 4}
    monkeypatch.setattr(workflow, "SETTINGS", workflow.SETTINGS | sizes)


def test_the_demo_shows_both_runs_and_what_to_do_next(spectra, tmp_path):
    found = spectra("demo", "-o", tmp_path / "demo")
    assert found.code == 0
    for run in ("adamw", "muon"):
        assert f"{run}.spectra.h5" in found.out
        assert run in found.err
    assert "\x1b" not in found.out + found.err
    assert all(len(line) <= 100 for line in found.out.splitlines() if str(tmp_path) not in line)
    commands = [line.split() for line in found.err.splitlines() if line.startswith("  spectra ")]
    assert {words[1] for words in commands} == {"inspect", "scan", "show"}
    summaries = [show(tmp_path / "demo" / f"{run}.spectra.h5") for run in ("adamw", "muon")]
    for form in FORMS:
        nothing_is_lost(output(summaries), form)
    for words in commands:  # what it proposes works as it stands
        if words[1] in ("inspect", "show"):
            assert spectra(*words[1:]).code == 0


def test_a_foreign_folder_is_refused(spectra, tmp_path):
    (tmp_path / "adamw").mkdir()
    (tmp_path / "adamw" / "thesis.tex").write_text("precious")
    found = spectra("demo", "-o", tmp_path)
    assert (found.code, found.out) == (2, "")
    assert "adamw" in found.err


def test_a_file_in_the_way_is_refused(spectra, tmp_path):
    (tmp_path / "demo").write_text("a file")
    found = spectra("demo", "-o", tmp_path / "demo")
    assert (found.code, found.out) == (2, "")
    assert "demo" in found.err


def test_a_folder_of_hostile_name_does_not_act(spectra, tmp_path):
    found = spectra("demo", "-o", tmp_path / "=d\x1b[31m\x9b2J\u202e[bold]\t")
    assert found.code == 0, found.err
    everything = found.out + found.err
    assert [char for char in everything if unicodedata.category(char)[0] == "C" and char != "\n"] == []
    assert r"=d\x1b[31m\x9b2J\u202e[bold]\x09" in "".join(everything.split())
