from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from spectra_cli.core.words.numbers import with_error

STEPS = [0, 10, 20, 50, 100, 200, 500, 1000]
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
    """Seven planted runs r0 to r6, and a short one."""
    folder = tmp_path_factory.mktemp("family")
    rng = np.random.default_rng(0)
    for number, exponent in enumerate(np.linspace(0.8, 1.4, 7)):
        losses = 2.5 + 1.5 * (np.array(STEPS) / 10 + 1) ** (-0.3 * exponent) + 0.01 * rng.normal(size=8)
        write_run(
            folder / f"r{number}.spectra.h5",
            steps=STEPS,
            losses=losses,
            exponents=exponent,
            noise=0.01,
            seed=number,
            batch_size_tokens=1000 * (1 + number % 3),
            learning_rate=1e-3,
        )
    write_run(folder / "young.spectra.h5", steps=STEPS[:4], losses=losses[:4], exponents=1.0)
    return folder


@pytest.fixture
def family(archives, monkeypatch):
    """The seven by name, in the working directory."""
    monkeypatch.chdir(archives)
    return [f"r{number}" for number in range(7)]


@pytest.mark.parametrize("words", [(), ("--new", "young"), ("--target-loss", "2.9"), ("--layers", "0,1")])
def test_the_table_is_plain_and_keeps_to_100_columns(spectra, family, words):
    found = spectra("forecast", *family, "--early", "0.03", *words)
    assert (found.code, found.err) == (0, "")
    assert "\x1b" not in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())
    for word in ("Spearman", "Q²", "early loss", "± is one standard error", "2602.20433"):
        assert word in " ".join(found.out.split())


def test_the_three_forms_agree(spectra, family):
    words = ("forecast", *family, "--new", "young", "--early", "0.03")
    document = json.loads(spectra(*words, "--json").out)
    assert (document["schema"], document["kind"]) == ("spectra.forecast/1", "between_runs")
    rows = list(csv.DictReader(io.StringIO(spectra(*words, "--format", "csv").out)))
    assert len(rows) == len(document["runs"]) == 8
    for cells, row in zip(rows, document["runs"], strict=True):
        assert set(cells) <= set(row)
        for name, cell in cells.items():
            assert cell == ("" if row[name] is None else str(row[name]))
    table = spectra(*words).out
    for row in document["runs"]:
        (line,) = [x for x in table.splitlines() if x.split()[:1] == [row["run"]]]
        assert f"{row['early_loss']:.4f}" in line
    assert f"Spearman {document['association']['spearman']:+.2f}" in table
    gain = document["gain"]
    assert f"{with_error(gain['value'], gain['stderr'], digits=2)} in Q²" in table
    for predictor in document["predictors"]:
        assert f"{predictor['q_squared']:+.2f}" in table


def test_the_json_has_the_documented_keys(spectra, family):
    document = json.loads(spectra("forecast", *family[:3], "--json").out)
    assert document["association"]["p_value"] is None
    assert document["association"]["why_less"]
    assert (document["predictors"], document["gain"]) == ([], None)


def test_one_archive_is_continued(spectra, family):
    found = spectra("forecast", "r0", "--target-loss", "2.6")
    assert (found.code, found.err) == (0, "")
    assert "within-run extrapolation" in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())
    document = json.loads(spectra("forecast", "r0", "--target-loss", "2.6", "--json").out)
    assert document["kind"] == "within_run"
    rows = list(csv.DictReader(io.StringIO(spectra("forecast", "r0", "--format", "csv").out)))
    losses = [loss for fit in document["fits"] for loss in fit["losses"]]
    assert [float(r["value"]) for r in rows] == [loss["value"] for loss in losses]
    for loss in losses:
        assert f"{loss['value']:.4f} [{loss['low']:.4f}, {loss['high']:.4f}]" in found.out


WRONG = {
    "no archive": (("forecast", "nowhere", "r0"), 3, ("nowhere", "spectra scan")),
    "the same twice": (("forecast", "r0", "r0.spectra.h5"), 2, ("same archive",)),
    "a moment for one run": (("forecast", "r0", "--early", "0.1"), 2, ("--early", "several runs")),
    "two moments": (("forecast", "r0", "r1", "--early", "0.1", "--early-step", "5"), 2, ("--early-step",)),
    "a statistic that is not there": (("forecast", "r0", "r1", "--statistic", "alpha"), 2, ("rankme_cov",)),
    "a layer that is not there": (("forecast", "r0", "r1", "--layers", "7"), 2, ("no layer 7",)),
    "layers that are none": (("forecast", "r0", "r1", "--layers", "x"), 2, ("--layers",)),
    "a loss that is not there": (("forecast", "r0", "r1", "--loss", "validation"), 3, ("--log",)),
    "a loss that is none": (("forecast", "r0", "r1", "--loss", "test"), 2, ("validation",)),
    "a form that is not there": (("forecast", "r0", "r1", "--format", "xml"), 2, ("csv",)),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_forecast_is_said_with_its_code(spectra, family, case):
    words, code, mentioned = WRONG[case]
    found = spectra(*words)
    assert (found.code, found.out) == (code, "")
    assert "Traceback" not in found.err
    for word in mentioned:
        assert word in found.err


@pytest.mark.parametrize("names", [["r0", "r1", "r2"], ["r0"]])
def test_it_never_imports_torch(family, archives, names):
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TORCH, "forecast", *names],
        cwd=archives,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_one_archive_has_nothing_to_differ_from(spectra, family):
    found = spectra("forecast", "r0", "--allow-different-scans")
    assert found.code == 2
    assert "--allow-different-scans needs several runs" in " ".join(found.err.split())
