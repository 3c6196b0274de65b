from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

STEPS = [int(s) for s in np.unique(np.geomspace(1, 10_000, 30).astype(int))]


_WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "safetensors", "tokenizers"}:
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
from spectra_cli.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory, write_run):
    folder = tmp_path_factory.mktemp("runs")
    place = np.linspace(0, 1, len(STEPS))
    exponents = np.interp(place, [0, 0.2, 0.65, 1], [0.8, 1.3, 0.6, 1.0])
    write_run(folder / "run.spectra.h5", steps=STEPS, exponents=exponents, noise=0.01, width=128)
    write_run(folder / "still.spectra.h5", steps=STEPS, exponents=1.0, noise=0.01, width=128)
    write_run(folder / "one.spectra.h5", steps=[5], width=128)
    return folder


@pytest.fixture
def run(archives, monkeypatch):
    """A run with phases, one without and one of one checkpoint, in the working directory."""
    monkeypatch.chdir(archives)


def test_the_table_names_the_phases_in_100_columns(spectra, run):
    found = spectra("phases", "run")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[0] == "run: warmup, entropy-seeking, compression-seeking"
    assert "\x1b" not in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())


def test_no_structure_is_an_answer(spectra, run):
    found = spectra("phases", "still")
    assert found.code == 0
    assert "no phase structure found" in found.out


def test_the_three_forms_agree(spectra, run):
    document = json.loads(spectra("phases", "run", "--json").out)
    assert document["schema"] == "spectra.phases/1"
    assert len(document["checkpoints"]) == len(STEPS)
    rows = list(csv.DictReader(io.StringIO(spectra("phases", "run", "--format", "csv").out)))
    table = spectra("phases", "run").out
    for cells, row in zip(rows, document["segments"], strict=True):
        assert cells == {name: "" if value is None else str(value) for name, value in row.items()}
        (line,) = [x for x in table.splitlines() if x.startswith(f"{row['phase']} ") and "±" in x]
        assert float(line.split()[-1].split("±")[0]) == pytest.approx(row["alpha_change"], abs=0.01)


WRONG = {
    "no archive": (("nowhere",), 3, ("spectra scan",)),
    "a single checkpoint": (("one",), 3, ("1 checkpoint", "scan more")),
    "a layer that is not there": (("run", "--layer", "9"), 2, ("no layer 9", "0, 1")),
    "an exponent that is not there": (("run", "--alpha", "beta"), 2, ("alpha_req_11_100",)),
    "two forms": (("run", "--json", "--format", "csv"), 2, ("--json",)),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_has_no_phases_is_said_with_its_code(spectra, run, case):
    words, code, mentioned = WRONG[case]
    found = spectra("phases", *words)
    assert (found.code, found.out) == (code, "")
    assert "Traceback" not in found.err
    for word in mentioned:
        assert word in found.err


def test_it_never_imports_torch(run, archives):
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TORCH, "phases", "run"],
        cwd=archives,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
