from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

HEADER = (
    "run,checkpoint,step,tokens_seen,measurement,site,layer,component,statistic,value,stderr,unit,status,"
    "reason,window_lo,window_hi,r_squared"
)


def test_the_summary_names_the_run_the_probe_and_every_checkpoint(spectra, place):
    found = spectra("show", "run")
    assert (found.code, found.err) == (0, "")
    for word in ("LlamaForCausalLM", "probe.npy", "8 x 8", "jackknife"):
        assert word in found.out
    assert re.search(r"^ *2 .*^ *4 ", found.out, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--step", "2"),
        ("--step", "2,4"),
        ("--layer", "1"),
        ("--statistic", "rankme_cov,head_exponent_1_10"),
        ("--statistic", "stable_rank", "--layer", "0"),
    ],
)
def test_every_table_keeps_to_100_columns_and_is_plain(spectra, place, words):
    found = spectra("show", "run", *words)
    assert (found.code, found.err) == (0, "")
    assert "\x1b" not in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())


def test_the_three_forms_agree(spectra, place):
    document = json.loads(spectra("show", "run", "--json").out)
    assert document["schema"].startswith("spectra.show/")
    assert json.loads(spectra("show", "run", "--format", "json").out) == document
    text = spectra("show", "run", "--format", "csv").out
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(io.StringIO(text)))
    in_json = [row for c in document["checkpoints"] for row in c["statistics"]]
    assert len(rows) == len(in_json)
    for cells, row in zip(rows, in_json, strict=True):
        for name in HEADER.split(","):
            assert cells[name] == ("" if row[name] is None else str(row[name]))
    table = spectra("show", "run", "--statistic", "stable_rank", "--step", "4").out
    for row in in_json:
        if (row["statistic"], row["measurement"], row["step"]) == ("stable_rank", "weight", 4):
            site = row["site"].removeprefix("blocks.")
            (line,) = [x for x in table.splitlines() if x.split()[:2] == ["weight", site]]
            # four significant digits: 5e-4 relative at most
            assert float(line.split()[2]) == pytest.approx(row["value"], rel=5e-4)


def test_a_selection_selects(spectra, place):
    text = spectra(
        "show", "run", "--format", "csv", "--step", "4", "--layer", "1", "--statistic", "rankme_cov"
    ).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows
    assert {(r["step"], r["layer"], r["statistic"]) for r in rows} == {("4", "1", "rankme_cov")}


WRONG = {
    "no archive": (("nowhere",), 3, ("nowhere", "spectra scan")),
    "a file that is no archive": (("probe.npy",), 3, ("probe.npy",)),
    "a step that is not there": (("run", "--step", "3"), 2, ("3", "2, 4")),
    "a step that is none": (("run", "--step", "last"), 2, ("--step", "last")),
    "a layer that is not there": (("run", "--layer", "9"), 2, ("9", "0, 1")),
    "a layer that is none": (("run", "--layer", "x"), 2, ("--layer", "x")),
    "a statistic that is not there": (("run", "--statistic", "alpha"), 2, ("alpha", "rankme_cov")),
    "a form that is not there": (("run", "--format", "xml"), 2, ("xml", "csv")),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_shown_is_said_with_its_code(spectra, place, case):
    words, code, mentioned = WRONG[case]
    found = spectra("show", *words)
    assert (found.code, found.out) == (code, "")
    assert "Traceback" not in found.err
    for word in mentioned:
        assert word in found.err


def test_two_ways_to_ask_for_a_form_must_not_contradict(spectra, place):
    found = spectra("show", "run", "--format", "csv", "--json")
    assert (found.code, found.out) == (2, "")


def test_an_archive_is_shown_from_anywhere(spectra, place, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert spectra("show", place / "run.spectra.h5").code == 0
    assert not list(Path().iterdir())


def test_a_plot_stands_on_a_terminal_of_80_columns_and_is_ascii_in_a_pipe(spectra, place, monkeypatch):
    piped = spectra("show", "run", "--plot", "--layer", "1")
    assert piped.code == 0
    drawn = [line for line in piped.out.splitlines() if "|" in line]
    assert drawn
    assert all(line.isascii() for line in drawn)
    assert "activations layer 1" in piped.out
    for form in ("json", "csv"):
        refused = spectra("show", "run", "--plot", "--format", form)
        assert (refused.code, refused.out) == (2, "")
        assert "--plot draws" in refused.err
