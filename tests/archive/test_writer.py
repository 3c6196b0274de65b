from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from spectra_cli.archive.content.layout import parts_folder
from spectra_cli.archive.reader import finished, open_archive
from spectra_cli.archive.validate import validate
from spectra_cli.archive.writer import consolidate, write_archive, write_part
from spectra_cli.core.errors import ArchiveError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.spectra.h5"


def test_checkpoints_are_ordered_by_step(path, series):
    write_archive(path, series[::-1])
    assert [r.key for r in open_archive(path).refs] == ["step0", "step5", "step10", "nostep"]


def test_bytes_depend_on_the_content_alone(tmp_path, series):
    for name in ("a", "b"):
        write_archive(tmp_path / name, series)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_any_order_of_parts_gives_the_same_bytes(tmp_path, series):
    write_archive(tmp_path / "whole", series)
    for number, order in enumerate(itertools.islice(itertools.permutations(series), 0, None, 9)):
        path = tmp_path / f"{number}.spectra.h5"
        for place, checkpoint in enumerate(order):
            write_part(path, checkpoint)
            if (number + place) % 3 == 0:
                consolidate(path)
        consolidate(path)
        assert path.read_bytes() == (tmp_path / "whole").read_bytes()
        assert not parts_folder(path).exists()


def test_a_part_replaces_the_same_checkpoint(path, series, make_checkpoint, as_values):
    write_archive(path, series)
    again = make_checkpoint(5, seed=1)
    write_part(path, again)
    consolidate(path)
    assert [as_values(c) for c in open_archive(path)] == [
        as_values(c) for c in (series[0], again, *series[2:])
    ]


def test_the_younger_part_of_a_moved_run_counts(path, make_checkpoint, as_values):
    old, new = make_checkpoint(5), make_checkpoint(5, seed=1)
    new = replace(new, ref=replace(new.ref, uri="/moved/step5"))
    for age, checkpoint in ((100, new), (200, old)):
        part = write_part(path, checkpoint)
        os.utime(part, (time.time() - age, time.time() - age))
    consolidate(path)
    (found,) = open_archive(path)
    assert as_values(found) == as_values(new)


def test_checkpoints_of_two_runs_do_not_replace_each_other(path, make_checkpoint):
    checkpoint = make_checkpoint(5)
    write_archive(path, [checkpoint])
    write_part(path, replace(checkpoint, ref=replace(checkpoint.ref, run="b", uri="/runs/b/step5")))
    with pytest.raises(ArchiveError, match="step5 of two runs"):
        consolidate(path)


def test_parts_of_another_scan_are_refused_and_kept(path, series, make_checkpoint, make_provenance):
    write_archive(path, series)
    before = path.read_bytes()
    part = write_part(path, make_checkpoint(7, provenance=make_provenance(settings={"layers": [1]})))
    with pytest.raises(ArchiveError, match=r"settings\.layers: all against 1;"):
        consolidate(path)
    assert path.read_bytes() == before
    assert part.exists()


def test_a_crash_before_parts_are_removed_is_harmless(path, series):
    parts = [(write_part(path, c), c) for c in series]
    saved = [(part, part.read_bytes()) for part, _ in parts]
    consolidate(path)
    before = path.read_bytes()
    parts_folder(path).mkdir()
    for part, content in saved:
        part.write_bytes(content)
    consolidate(path)
    assert path.read_bytes() == before
    assert not parts_folder(path).exists()


def test_a_part_rewritten_during_the_merge_stays(path, series, make_checkpoint, monkeypatch):
    part = write_part(path, series[1])
    inside = []

    def rewrite(temporary, target):
        os.rename(temporary, target)
        if not inside:
            inside.append(target)
            write_part(path, make_checkpoint(5, seed=1))

    monkeypatch.setattr("spectra_cli.archive.file.atomic.os.replace", rewrite)
    consolidate(path)
    assert part.exists()
    assert open_archive(path).infos[0].fingerprint == "files-1-5"


def test_damaged_parts_stop_the_merge_by_name(path, series):
    good = write_part(path, series[0])
    bad = write_part(path, series[1])
    bad.write_bytes(bad.read_bytes()[:-100])
    with pytest.raises(ArchiveError, match=bad.name):
        consolidate(path)
    assert good.exists()
    assert not path.exists()
    write_part(path, series[1])
    consolidate(path)
    assert len(open_archive(path)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda c: {"spectra": (c.spectra[0], c.spectra[0])}, "two spectra at blocks.0.resid_post"),
        (lambda c: {"spectra": (replace(c.spectra[0], measurement="a/b"),)}, "'a/b'"),
        (lambda c: {"spectra": (c.spectra[0], replace(c.spectra[1], unit="m"))}, "several kinds or units"),
        (lambda c: {"scalars": (c.scalars[0], c.scalars[0])}, "two scalars scalars/loss/probe_loss"),
        (lambda c: {"ref": replace(c.ref, step=-2)}, "step is -2"),
        (lambda c: {"ref": replace(c.ref, label="a\0b")}, "with no NUL"),
    ],
)
def test_what_cannot_be_archived_is_refused(path, make_checkpoint, changes, message):
    checkpoint = make_checkpoint(0)
    with pytest.raises(ArchiveError, match=message):
        write_part(path, replace(checkpoint, **changes(checkpoint)))
    assert not list(parts_folder(path).glob("*"))


def test_no_or_twice_the_same_checkpoint_is_refused(path, series):
    with pytest.raises(ArchiveError, match="no checkpoints"):
        write_archive(path, [])
    with pytest.raises(ArchiveError, match="are both step0"):
        write_archive(path, [series[0], series[0]])
    with pytest.raises(ArchiveError, match="no archive at"):
        consolidate(path)


def test_parallel_writers_and_consolidations_lose_nothing(path, make_checkpoint, as_values):
    checkpoints = [make_checkpoint(step) for step in range(8)]

    def scan(checkpoint):
        write_part(path, checkpoint)
        if checkpoint.ref.step % 3 == 0:
            consolidate(path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(scan, checkpoints))
    consolidate(path)
    assert [as_values(c) for c in open_archive(path)] == [as_values(c) for c in checkpoints]
    assert list(path.parent.iterdir()) == [path]


# Imports first, then a line to say so, so that the killing moment falls into the work itself.
KILLED = """
import os, shutil, sys
from pathlib import Path
from spectra_cli.archive.writer import consolidate
path, kept = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
while True:
    parts = path.with_name(path.name + ".parts")
    parts.mkdir(exist_ok=True)
    for part in kept.iterdir():
        shutil.copy(part, parts / ("." + part.name))
        os.replace(parts / ("." + part.name), parts / part.name)
    consolidate(path)
"""


def test_killed_at_any_moment_nothing_finished_is_lost(tmp_path, path, series, make_checkpoint, as_values):
    write_archive(path, series)
    kept = tmp_path / "kept"
    kept.mkdir()
    new = [make_checkpoint(step) for step in (1, 2, 3)]
    for checkpoint in new:
        part = write_part(kept / "x", checkpoint)
        part.rename(kept / part.name)
    parts_folder(kept / "x").rmdir()
    moments = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, path, kept], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found = {c.ref.step: as_values(c) for c in open_archive(path)}
        assert all(found[c.ref.step] == as_values(c) for c in series)
        assert all(found[c.ref.step] == as_values(c) for c in new if c.ref.step in found)
    for checkpoint in new:
        write_part(path, checkpoint)
    consolidate(path)
    assert set(tmp_path.iterdir()) - {kept} - set(parts_folder(path).parent.glob("*.parts")) == {path}
    assert validate(path) == ()
    assert len(finished(path).fingerprints) == len(series) + len(new)
