"""`spectra report`, and the page that `scan` and `compare` write at their end."""

from __future__ import annotations

import html
import json
import webbrowser

import pytest

import spectra_cli


@pytest.fixture
def runs(write_run, tmp_path, monkeypatch):
    """`a` and `b` in the working directory."""
    common = {"steps": (0, 10, 20), "losses": (5.0, 4.0, 3.5), "noise": 0.02}
    write_run(tmp_path / "a.spectra.h5", seed=0, **common)
    write_run(tmp_path / "b.spectra.h5", exponents=1.3, seed=1, **common)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_answer_is_printed_and_the_page_says_the_same(spectra, runs):
    found = spectra("report", "a", "b")
    assert (found.code, found.err) == (0, "")
    lines = found.out.splitlines()
    assert lines[0] == "What differs inside a and b?"
    assert lines[1].startswith("- b differs from a at equal loss (")
    assert lines[-1].startswith("report.html (")
    page = (runs / "report.html").read_text()
    assert "<h1>What differs inside a and b?</h1>" in page
    for sentence in json.loads(spectra("report", "a", "b", "--overwrite", "--json").out)["answer"][:3]:
        assert html.escape(sentence["text"]) in page


def test_python_writes_the_same_page(spectra, runs):
    made = spectra_cli.report("a", output=runs / "one.html")
    assert made.path == runs / "one.html"
    assert made.question == "What happened inside a over its training?"
    assert repr(made).splitlines()[0] == made.question
    spectra("report", "a", "-o", "two.html")
    first, second = ((runs / name).read_text() for name in ("one.html", "two.html"))
    assert first.replace(str(runs / "one.html"), "") == second.replace("two.html", "")
    assert len(first.encode()) == made.num_bytes


def test_what_is_there_stays_unless_it_may_go(spectra, runs):
    (runs / "report.html").write_text("mine")
    found = spectra("report", "a")
    assert (found.code, (runs / "report.html").read_text()) == (2, "mine")
    assert "--overwrite" in found.err
    assert spectra("report", "a", "--overwrite").code == 0
    assert "<h1>" in (runs / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nowhere",), 3, "nowhere"),
        (("a", "a"), 2, "a and a are the same archive"),
        (("a", "b", "--align", "time"), 2, "--align time"),
        (("a", "-o", "."), 2, "is a folder"),
        (("a", "--at", "3.1"), 2, "this report is of one run"),
        (("a", "--align", "step"), 2, "this report is of one run"),
        (("a", "-o", "-"), 2, "a page is a file for a browser"),
        (("a", "-o", "a.spectra.h5"), 2, "exists"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(spectra, runs, words, code, told):
    found = spectra("report", *words)
    assert found.code == code
    assert told in found.err
    assert not (runs / "report.html").exists()


def test_it_opens_in_the_browser_where_asked(spectra, runs, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    spectra("report", "a")
    assert opened == []
    spectra("report", "a", "--overwrite", "--open")
    assert opened == [(runs / "report.html").as_uri()]


def test_a_comparison_writes_the_page_of_what_it_compared(spectra, runs):
    plain = spectra("compare", "a", "b", "--at", "4.2")
    found = spectra("compare", "a", "b", "--at", "4.2", "--report", "both.html")
    assert (found.code, found.out) == (0, plain.out)
    assert found.err == "report: both.html\n"
    page = (runs / "both.html").read_text()
    assert "at equal loss (4.2000)" in page
    # a page of an earlier comparison is replaced, anything else is not
    assert spectra("compare", "a", "b", "--report", "both.html").code == 0
    assert "at equal loss (4.2000)" not in (runs / "both.html").read_text()
    (runs / "mine.html").write_text("mine")
    found = spectra("compare", "a", "b", "--report", "mine.html")
    assert (found.code, found.out) == (2, "")
    assert (runs / "mine.html").read_text() == "mine"


def test_a_scan_writes_the_page_of_its_archive(spectra, pristine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--probe", "synthetic", "--sequences", "8", "--gradient-sequences", "8", "-T", "8", "-q")
    found = spectra("scan", pristine / "run", "-o", "s.spectra.h5", *words, "--report", "scan.html")
    assert found.code == 0, found.err
    assert "report: scan.html" in found.err
    assert "<h1>What happened inside s over its training?</h1>" in (tmp_path / "scan.html").read_text()
