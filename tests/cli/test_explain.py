"""The last line of an error leads to a page that says what to do, without a network."""

from __future__ import annotations

import json
import sys
from fractions import Fraction

import pytest
import torch

from spectra_cli.core.error_pages import PAGES
from spectra_cli.core.errors import exit_codes

# one error of each family that a command line alone can cause: its words, and its code
CAUSED = {
    "a command": (["scna"], "unknown-name"),
    "an argument that is missing": (["show"], "wrong-request"),
    "a number": (["scan", "run", "--batch-size", "x"], "wrong-request"),
    "a step": (["show", "run", "--step", "3"], "not-held"),
    "a file that is there": (["export", "run", "-o", "probe.npy", "--format", "csv"], "already-there"),
    "no checkpoint": (["scan", "nowhere", "--probe", "synthetic"], "no-checkpoint"),
    "a folder of something else": (["scan", "empty", "--probe", "synthetic"], "no-checkpoint"),
    "a probe": (["scan", "run", "--probe", "nowhere.npy"], "unfit-probe"),
    "memory": (["scan", "run", "--probe", "probe.npy", "-T", "8", "--memory", "2MB"], "too-little-memory"),
    "no archive": (["show", "nowhere"], "no-archive"),
    "no archive but a file": (["show", "probe.npy"], "no-archive"),
    "a damaged archive": (["show", "damaged.spectra.h5"], "broken-archive"),
    "another scan": (
        ["scan", "run", "--probe", "probe.npy", "-T", "8", "--sequences", "8", "--gradient-sequences", "4"],
        "other-run",
    ),
    "too little data": (["forecast", "run"], "not-enough"),
}


@pytest.mark.parametrize("what", CAUSED)
def test_the_last_line_names_the_page(what, place, spectra):
    words, code = CAUSED[what]
    (place / "empty").mkdir()
    (place / "empty" / "notes.txt").write_text("nothing")
    content = bytearray((place / "run.spectra.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (place / "damaged.spectra.h5").write_bytes(content)
    found = spectra(*words)
    *said, last = found.err.rstrip("\n").splitlines()
    assert any(line.startswith("spectra: ") for line in said)
    assert last == f"more: spectra explain {code}"
    assert found.code == exit_codes()[code]


def _truncated(folder):
    file = folder / "run" / "checkpoint-2" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def _of_another_model(folder):
    for config in (folder / "run").glob("*/config.json"):
        config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 9}))


def _pickled(folder):
    for file in (folder / "run").glob("*/model.safetensors"):
        file.unlink()
        torch.save({"weight": Fraction(1, 2)}, file.with_name("pytorch_model.bin"))


def _failing_builder(folder):
    (folder / "builders.py").write_text("def build(state, metadata):\n    raise ValueError('no')\n")


# what is done to the run -> more words of the command line, and the code
BROKEN = {
    "one of two is truncated": (_truncated, [], "broken-checkpoint"),
    "a configuration of another model": (_of_another_model, [], "contradiction"),
    "a pickle of more than tensors": (_pickled, [], "unsafe-pickle"),
    "a builder that raises": (_failing_builder, ["--model", "builders:build"], "own-code"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_with_a_run_is_told_by_its_kind(what, place, spectra, monkeypatch):
    breaks, more, code = BROKEN[what]
    breaks(place)
    monkeypatch.syspath_prepend(str(place))
    found = spectra("scan", "run", "--probe", "probe.npy", "-T", "8", "-o", "new.spectra.h5", *more)
    sys.modules.pop("builders", None)
    assert found.code == 3
    assert found.err.rstrip().endswith(f"more: spectra explain {code}"), found.err


@pytest.mark.parametrize("code", PAGES)
def test_a_page_is_printed_whole(code, spectra):
    found = spectra("explain", code)
    assert (found.code, found.err) == (0, "")
    printed = " ".join(found.out.split())
    for sentence in (PAGES[code].title, PAGES[code].meaning, *PAGES[code].remedies):
        assert " ".join(sentence.split()) in printed


def test_all_are_listed_and_told_to_programs(spectra):
    listed = spectra("explain").out
    assert all(f"\n{code} " in listed for code in PAGES)
    document = json.loads(spectra("explain", "--json").out)
    assert [one["code"] for one in document["errors"]] == list(PAGES)
    assert document["errors"][0]["remedies"] == list(next(iter(PAGES.values())).remedies)
    csv = spectra("explain", "unsafe-pickle", "--format", "csv").out.splitlines()
    assert csv[0] == "code,title,exit_code,meaning,remedies"
    assert len(csv) == 2


def test_a_code_that_is_none(spectra):
    found = spectra("explain", "contradicton")
    assert (found.code, "did you mean contradiction?" in found.err) == (2, True)
