"""Every command that reads archives says in every form that one is unfinished, or may hold two runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from spectra_cli.archive.content.provenance import Statement
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive

STEPS = (2, 4, 8, 16, 32, 64)
NOTICES = (
    "unfinished: 6 of 8 checkpoints, scan still running or stopped; not measured: step128; could not be",
    "its checkpoints lie in 2 folders (/exp1/out: step2, step4, step8; /exp2/out: step16, step32, step64): ",
)
COMMANDS = [
    ("show", "a"),
    ("show", "a", "--statistic", "stable_rank"),
    ("show", "a", "--step", "2"),
    ("compare", "a", "b", "--align", "step"),
    ("compare", "b", "a", "--align", "tokens"),
    ("phases", "a"),
    ("drift", "a"),
    ("report", "a", "--overwrite"),
    ("forecast", "a"),
    ("forecast", "a", "b", "--early-step", "4", "--target-loss", "4.5"),
    ("forecast", "b", "c", "--new", "a", "--early-step", "4", "--target-loss", "4.5"),
    ("validate", "a"),
]


@pytest.fixture(scope="module")
def archives(pristine, tmp_path_factory) -> Path:
    """`b` and `c` of a run each, and `a`, which is unfinished and of two."""
    folder = tmp_path_factory.mktemp("archives")
    (one, *_) = open_archive(pristine / "run.spectra.h5")
    spectra = tuple(s for s in one.spectra if s.site.component in ("resid_post", "mlp.down"))
    waiting = {"step128": "", "step256": ""}
    owed = Statement(waiting=waiting, failed={"step256": "no weights"})
    for number, (name, halves, statement) in enumerate(
        (
            ("a", ("/exp1/out", "/exp2/out"), owed),
            ("b", ("/b", "/b"), Statement(origins=("/b",))),
            ("c", ("/c", "/c"), Statement(origins=("/c",))),
        )
    ):
        checkpoints = [
            replace(
                one,
                ref=replace(one.ref, run=name, step=step, uri=f"{halves[step > 8]}/checkpoint-{step}"),
                info=replace(
                    one.info,
                    digest=f"{name}{step}",
                    tokens_seen=1000 * step,
                    eval_loss=4.0 + (3.0 + number) / step**0.5,
                ),
                spectra=spectra,
                scalars=(),
            )
            for step in STEPS
        ]
        write_archive(folder / f"{name}.spectra.h5", checkpoints, statement)
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_form_of_each_command_says_it(archives, spectra, monkeypatch, command):
    monkeypatch.chdir(archives)
    as_csv = () if command[0] == "validate" else ("--format", "csv")
    printed = {
        form: spectra(*command, *flags)
        for form, flags in (("table", ()), ("csv", as_csv), ("json", ("--json",)))
    }
    assert [found.err for found in printed.values() if found.code != 0] == []
    document = list(_texts(json.loads(printed["json"].out)))
    for notice in NOTICES:
        assert "".join(notice.split()) in "".join(printed["table"].out.split())
        assert any(notice in text for text in document)
        assert not as_csv or notice in printed["csv"].err
    assert printed["table"].err == printed["json"].err == ""
    if as_csv:
        rows = list(csv.reader(io.StringIO(printed["csv"].out)))
        assert {len(row) for row in rows} == {len(rows[0])}
        assert "checkpoints lie" not in printed["csv"].out


def test_an_export_says_it(archives, spectra, monkeypatch):
    monkeypatch.chdir(archives)
    found = spectra("export", "a", "-o", "-", "--format", "csv")
    assert found.code == 0
    assert all(notice in found.err for notice in NOTICES)
    assert all(f"a: {notice}" in spectra("export", "a", "b", "-o", "ab.jsonl").err for notice in NOTICES[:1])


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(each)


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_scan_into_what_may_hold_two_runs_says_it_each_time(spectra, place, flags):
    checkpoints = list(open_archive("run.spectra.h5"))
    elsewhere = replace(checkpoints[0].ref, uri="/exp1/run/checkpoint-1", step=1)
    foreign = replace(
        checkpoints[0], ref=elsewhere, info=replace(checkpoints[0].info, digest="x", fingerprint="y")
    )
    home = [
        replace(c, ref=replace(c.ref, uri=str(place / "run" / c.ref.key.replace("step", "checkpoint-"))))
        for c in checkpoints
    ]
    write_archive(Path("run.spectra.h5"), [foreign, *home], Statement())
    sizes = ("--sequences", "8", "--gradient-sequences", "8", "-T", "8")
    for _ in range(2):
        found = spectra("scan", "run", "--probe", "probe.npy", *sizes, *flags)
        assert found.code == 0, found.err
        assert "its checkpoints lie in 2 folders (/exp1/run: step1; " in found.err
        assert not flags or any("lie in 2 folders" in text for text in json.loads(found.out)["notices"])
    assert open_archive("run.spectra.h5").mixture
