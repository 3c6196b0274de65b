"""What files say of their run: kept, digested, put together, and refused where they contradict."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectra_cli.archive.content.layout import part_path
from spectra_cli.archive.content.statement import Statement, check_one_run, together
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import consolidate, write_archive, write_part
from spectra_cli.core.errors import ArchiveError

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
