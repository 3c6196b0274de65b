from __future__ import annotations

import csv
import io
import json

import pytest


@pytest.fixture(scope="module")
def archives(write_run, tmp_path_factory):
    """`a` and `b`, of which `b` is steeper; `far`, whose losses are others; `other`, on another probe."""
    folder = tmp_path_factory.mktemp("runs")
    steps, losses = (0, 10, 20, 30), (8.0, 5.0, 4.0, 3.5)
    common = {"steps": steps, "noise": 0.02, "num_layers": 3}
    write_run(folder / "a.spectra.h5", losses=losses, seed=0, **common)
    write_run(folder / "b.spectra.h5", losses=losses, exponents=1.2, seed=1, **common)
    write_run(folder / "far.spectra.h5", losses=[x + 10 for x in losses], seed=2, **common)
    write_run(folder / "other.spectra.h5", losses=losses, seed=3, probe_digest="e" * 64, **common)
    return folder


@pytest.fixture
def runs(archives, monkeypatch):
    """They lie in the working directory."""
    monkeypatch.chdir(archives)
    return archives


def test_the_tables_say_where_what_and_at_which_loss(spectra, runs):
    found = spectra("compare", "a", "b")
    assert (found.code, found.err) == (0, "")
    for word in (
        "matched on probe loss",
        "b against a",
        "- residual stream of layers 0-2: ",
        " in b by ",
        "at loss",
        " numbers differ, all ",
        " points together; ",
        "taxonomy: ",
    ):
        assert word in found.out
    assert "\x1b" not in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())
    assert "--taxonomy" not in spectra("compare", "a", "b", "--taxonomy").out


def test_the_three_forms_agree(spectra, runs):
    document = json.loads(spectra("compare", "a", "b", "--json").out)
    assert document["schema"] == "spectra.compare/1"
    assert json.loads(spectra("compare", "a", "b", "--format", "json").out) == document
    rows = list(csv.DictReader(io.StringIO(spectra("compare", "a", "b", "--format", "csv").out)))
    (pair,) = document["pairs"]
    assert len(rows) == len(pair["differences"])
    for cells, row in zip(rows, pair["differences"], strict=True):
        for name, value in row.items():
            assert cells[name] == ("" if value is None else str(value))
    table = spectra("compare", "a", "b", "--statistic", "rankme_cov", "--points", "1").out
    one = json.loads(spectra("compare", "a", "b", "--statistic", "rankme_cov", "--points", "1", "--json").out)
    strongest = one["pairs"][0]["differences"][0]
    (line,) = [x for x in table.splitlines() if x.startswith(f"activations layer {strongest['layer']} ")]
    # four significant digits: 5e-4 relative at most
    assert float(line.split()[6]) == pytest.approx(strongest["first"], rel=5e-4)


def test_a_choice_chooses(spectra, runs):
    words = ("--layer", "1-2", "--statistic", "top1_share,head_movement", "--at", "4.5,4", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(spectra("compare", "a", "b", *words).out)))
    assert {row["layer"] for row in rows} == {"1", "2"}
    assert {row["statistic"] for row in rows} == {"top1_share", "head_movement"}
    assert {float(row["target"]) for row in rows} == {4.0, 4.5}
    by_step = json.loads(spectra("compare", "a", "b", "--align", "step", "--points", "2", "--json").out)
    assert [p["target"] for p in by_step["alignment"]["points"]] == [12.0, 30.0]


def test_another_probe_is_refused_by_name_and_flagged_where_allowed(spectra, runs):
    refused = spectra("compare", "a", "other")
    assert (refused.code, refused.out) == (3, "")
    assert "probe: dddddddddddd against eeeeeeeeeeee" in refused.err
    assert "--allow probe" in refused.err
    found = spectra("compare", "a", "other", "--allow", "probe")
    assert found.code == 0
    assert "measured differently (probe)" in found.out
    assert "no difference" in found.out


WRONG = {
    "no archive": (("a", "nowhere"), 3, ("nowhere", "spectra scan")),
    "one run": (("a",), 2, ("two runs",)),
    "no common loss": (("a", "far"), 3, ("8.5000 nats apart", "--align step")),
    "an axis that is none": (("a", "b", "--align", "time"), 2, ("time", "tokens")),
    "a loss that is none": (("a", "b", "--loss", "test"), 2, ("test", "validation")),
    "a loss that is not there": (("a", "b", "--loss", "train"), 3, ("a has probe",)),
    "points that are none": (("a", "b", "--at", "early"), 2, ("early",)),
    "a measurement that is none": (("a", "b", "--measure", "logits"), 2, ("logits", "gradients")),
    "a measurement that is not there": (("a", "b", "--measure", "weights"), 3, ("activation_covariance",)),
    "a statistic that is none": (("a", "b", "--statistic", "alpha"), 2, ("alpha", "rankme_cov")),
    "a layer that is not there": (("a", "b", "--layer", "9"), 2, ("9", "0, 1, 2")),
    "something to allow that is none": (("a", "b", "--allow", "size"), 2, ("size", "dtype")),
    "a form that is none": (("a", "b", "--format", "xml"), 2, ("xml", "csv")),
    "two forms": (("a", "b", "--format", "csv", "--json"), 2, ("contradicts",)),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_compared_is_said_with_its_code(spectra, runs, case):
    words, code, mentioned = WRONG[case]
    found = spectra("compare", *words)
    assert (found.code, found.out) == (code, "")
    assert "Traceback" not in found.err
    for word in mentioned:
        assert word in found.err
