from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from spectra_cli.extract.demo import families
from spectra_cli.extract.demo.settings import BandedTask, DemoSettings
from spectra_cli.render.forms import terminal
from spectra_cli.render.forms.registry import FORMS, Form
from tests.builders.every_form import nothing_is_lost

ROOT = Path(__file__).parents[2]
TINY = families.Scale(
    base=DemoSettings(
        task=BandedTask(vocab_size=32, sequence_length=8),
        num_train=512,
        num_validation=512,
        n_layer=3,
        n_head=2,
        n_embd=64,
        batch_size=16,
        lr=5e-3,
        save_optimizers=False,
    ),
    target_loss=3.13,
    batch_sizes=(4, 8, 16),
    first_save=48,
    early_sequences=48,
    most_sequences=192,
    scan={"num_sequences": 512, "num_gradient_sequences": 64, "num_blocks": 8, "matrices": ("attn.o",)},
)
SAID = {
    "batch-size": ("Activations at probe loss", "A doubling", "α tail scaled", "seed"),
    "early-tail": ("tokens to probe loss 3.13", "tail_exponent_scaled", "excluded"),
    "taxonomy": ("known to be", "execution-side", "learning-side", "another seed"),
}


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "FULL", TINY)
        patch.setattr(families, "SAVES_PER_OCTAVE", 1)
        patch.setattr(families, "EARLY_BATCH_SIZES", (4, 8))
        patch.setattr(families, "EARLY_RATES", (5e-3,))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


@pytest.mark.parametrize("study", SAID)
def test_a_study_prints_its_runs_and_its_finding(spectra, folder, study, monkeypatch):
    words = ("study", study, "--folder", folder / study, "--seeds", "1", "--processes", "1")
    found = spectra(*words)
    assert found.code == 0
    for word in SAID[study]:
        assert word.lower() in found.out.lower()
    assert "\x1b" not in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines() if str(folder) not in line)
    assert "left" in found.err
    again = spectra(*words)
    assert (again.code, again.out, again.err) == (0, found.out, "")
    with monkeypatch.context() as patch:
        patch.setattr(terminal, "FORM", Form(write=_in_every_form))
        assert spectra(*words).code == 0
    document = json.loads(spectra(*words, "--json").out)
    assert document["schema"] == "spectra.study/1"
    assert [run["name"] for run in document["runs"]] == [p.name for p in _runs(folder / study, document)]
    for run in document["runs"]:
        assert run["name"] in found.out
    page = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`(\w+)`", page.split("## spectra.study/1\n")[1].split("\n## ")[0]))
    parts = (document, *document["runs"], *document["signature"], *document["interventions"])
    assert set().union(*parts) <= described


def _in_every_form(output, _):
    assert list(output.rows())
    for form in FORMS.keys() - {"table"}:
        nothing_is_lost(output, form)


def _runs(folder, document):
    return [folder / run["name"] for run in document["runs"] if (folder / run["name"]).is_dir()]


def test_the_default_folder_is_named_after_the_study(spectra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spectra-study").mkdir()
    (tmp_path / "spectra-study" / "taxonomy").write_text("in the way")
    found = spectra("study", "taxonomy")
    assert (found.code, found.out) == (2, "")
    assert "spectra-study/taxonomy" in found.err


def test_an_unknown_study_is_refused(spectra, tmp_path):
    found = spectra("study", "weather", "--folder", tmp_path)
    assert (found.code, found.out) == (2, "")
    assert "batch-size, early-tail, taxonomy" in found.err
