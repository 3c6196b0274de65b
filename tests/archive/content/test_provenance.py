from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spectra_cli.archive.content.layout import part_path
from spectra_cli.archive.content.provenance import Statement, check_one_run, scan_differences, together
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import consolidate, write_archive, write_part
from spectra_cli.core.errors import ArchiveError


def test_what_may_differ_between_scans(make_provenance):
    one = make_provenance()
    other = make_provenance(
        versions={"numerics": "1", "torch": "3.0"},
        execution={"device": "cuda"},
        probe=replace(one.probe, source="/moved/val.bin"),
    )
    assert scan_differences(one, other) == {}


def test_every_difference_is_named(make_provenance):
    one = make_provenance()
    other = make_provenance(
        settings={
            "layers": [0],
            "normalize": {"kind": "none", "eps": 1e-6},
            "matrices": ["attn.q"],
            "new": True,
        },
        versions={"numerics": "2"},
        probe=replace(one.probe, digest="e" * 64),
    )
    assert tuple(scan_differences(one, other).values()) == (
        "settings.layers: all against 0",
        "settings.normalize.kind: rms against none",
        f"probe.digest: {'d' * 12}... against {'e' * 12}...",
        "versions.numerics: 1 against 2",
        "settings.new: not set against True",
    )


def test_one_archive_holds_one_scan(tmp_path, make_checkpoint, make_provenance):
    other = make_checkpoint(5, provenance=make_provenance(versions={"numerics": "2"}))
    with pytest.raises(ArchiveError, match=r"step0 and .*step5 .*versions\.numerics: 1 against 2"):
        write_archive(tmp_path / "a.spectra.h5", [make_checkpoint(0), other])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_settings_are_json(tmp_path, make_checkpoint, make_provenance, value):
    checkpoint = make_checkpoint(0, provenance=make_provenance(settings={"x": value}))
    with pytest.raises(ArchiveError, match="settings"):
        write_archive(tmp_path / "a.spectra.h5", [checkpoint])


def test_a_setting_that_came_later_is_zero_where_it_is_missing(make_provenance):
    older, newer = make_provenance(), make_provenance()
    newer = replace(newer, settings={**newer.settings, "num_vectors": 0})
    assert scan_differences(older, newer) == scan_differences(newer, older) == {}
    newer = replace(newer, settings={**newer.settings, "num_vectors": 8})
    assert scan_differences(older, newer) == {"settings.num_vectors": "settings.num_vectors: 0 against 8"}


OWING = Statement(origins=("/runs/a",), waiting={"step20": "files", "step30": ""}, failed={"step30": "no"})


def test_a_statement_comes_back_and_is_digested(tmp_path, edited, series):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, series, OWING)
    archive = open_archive(path)
    assert archive.statement == OWING
    assert archive.unfinished.words() == (
        "unfinished: 4 of 6 checkpoints, scan still running or stopped; not measured: step20; could not be "
        "measured: step30 (no)"
    )
    for name in ("origins", "waiting", "failed"):
        with edited(path) as root:
            before = root.attrs[name]
            root.attrs[name] = before.replace("s", "z").replace("o", "u")
        with pytest.raises(ArchiveError, match="does not match its digest"):
            open_archive(path)
        with edited(path) as root:
            root.attrs[name] = before


def test_what_is_measured_waits_no_more(tmp_path, series, make_checkpoint):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, series, OWING)
    write_part(path, make_checkpoint(20), ["/runs/a"])
    write_part(path, make_checkpoint(30), ["/runs/a"])
    assert "all 6 checkpoints are measured, 2 part file" in open_archive(path).unfinished.words()
    consolidate(path)
    assert open_archive(path).statement == Statement(origins=("/runs/a",))
    assert open_archive(path).unfinished is None


def test_an_archive_that_says_nothing_is_finished(tmp_path, series):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, series)
    archive = open_archive(path)
    assert archive.unfinished is None
    assert archive.origins == ("/runs/a", "/runs/a/final")  # from where its checkpoints were


def test_parts_of_two_runs_are_refused_though_their_names_are_one(tmp_path, make_checkpoint):
    path = tmp_path / "out.spectra.h5"
    write_part(path, make_checkpoint(10), ["/exp1/out"])
    write_part(path, make_checkpoint(20), ["/exp2/out"])
    with pytest.raises(ArchiveError, match=r"two runs: .* is of /exp[12]/out and .* of /exp[12]/out"):
        open_archive(path)
    part_path(path, make_checkpoint(20).ref).unlink()
    assert len(open_archive(path)) == 1


def test_files_are_of_one_run_through_others():
    moved = {Path(str(n)): Statement(origins=o) for n, o in enumerate([("/a",), ("/b",), ("/a", "/b"), ()])}
    check_one_run(Path("x"), moved)
    with pytest.raises(ArchiveError, match="/b"):
        check_one_run(Path("x"), {file: moved[file] for file in (Path("0"), Path("1"))})


def test_the_union_of_shards():
    shards = [Statement(origins=("/a",), waiting={name: name}) for name in ("step1", "step2", "step3")]
    assert together(shards, ["step2"]).waiting == {"step1": "step1", "step3": "step3"}
