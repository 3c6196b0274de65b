"""Families of runs of a few steps; the full studies take minutes and are run by hand."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.core.settings import resolve_settings
from spectra_cli.extract.demo.families import FamilyRun
from spectra_cli.extract.demo.settings import BandedTask, DemoSettings
from spectra_cli.workflows.study_family import RECORD, archive_of, train_and_scan

TRAINING = DemoSettings(
    task=BandedTask(vocab_size=24, sequence_length=8),
    num_train=64,
    num_validation=32,
    n_head=2,
    n_embd=16,
    batch_size=8,
    num_steps=4,
    save_steps=(0, 2, 4),
)
SCAN = resolve_settings(
    "default",
    {"num_sequences": 16, "num_gradient_sequences": 16, "sequence_length": 8, "num_blocks": 4},
)
RUNS = (
    FamilyRun(name="one", recipe="adamw", settings=TRAINING),
    FamilyRun(name="two", recipe="muon", settings=replace(TRAINING, target_loss=10.0)),
)


def train(folder, runs=RUNS, *, processes=1, progress=lambda _: None):
    return train_and_scan(folder, runs, SCAN, processes=processes, progress=progress)


def times(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.name != RECORD}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("family") / "new" / "family"
    train(folder)
    return folder


@pytest.fixture
def family(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "family"))


def test_every_run_becomes_an_archive_up_to_its_end(finished):
    archives = [open_archive(archive_of(finished, run)) for run in RUNS]
    assert [[ref.step for ref in archive.refs] for archive in archives] == [[0, 2, 4], [0]]
    assert [archive.refs[0].run for archive in archives] == ["one", "two"]
    assert len({archive.provenance.probe.digest for archive in archives}) == 1
    assert {path.name for path in finished.iterdir()} == {
        RECORD, "one", "one.spectra.h5", "two", "two.spectra.h5",
    }  # fmt: skip


def test_what_is_finished_is_not_touched(family):
    before = times(family)
    told = []
    assert train(family, progress=told.append) == tuple(archive_of(family, run) for run in RUNS)
    assert times(family) == before
    assert not told


def test_an_unfinished_scan_keeps_the_training(family):
    checkpoints = times(family / "one")
    archive_of(family, RUNS[0]).unlink()
    other = times(family / "two")
    train(family)
    assert times(family / "one") == checkpoints
    assert times(family / "two") == other
    assert len(open_archive(archive_of(family, RUNS[0]))) == 3


def test_an_unfinished_training_is_done_again_to_the_same_numbers(finished, family, numbers_of):
    (family / "one" / "checkpoint_step000004.pt").unlink()
    archive_of(family, RUNS[0]).unlink()
    train(family)
    pair = zip(
        open_archive(finished / "one.spectra.h5"), open_archive(family / "one.spectra.h5"), strict=True
    )
    assert all(numbers_of(a)["spectra"] == numbers_of(b)["spectra"] for a, b in pair)


def test_further_runs_join_a_family(family):
    before = times(family / "one")
    third = FamilyRun(name="three", recipe="adamw", settings=replace(TRAINING, seed=1))
    train(family, (*RUNS, third))
    assert times(family / "one") == before
    assert list(json.loads((family / RECORD).read_text())) == ["one", "two", "three"]


def test_processes_side_by_side_give_the_same_numbers(finished, tmp_path, numbers_of):
    told = []
    threads = os.environ.get("OMP_NUM_THREADS")
    archives = train(tmp_path / "family", processes=2, progress=told.append)
    assert os.environ.get("OMP_NUM_THREADS") == threads
    for path in archives:
        pair = zip(open_archive(finished / path.name), open_archive(path), strict=True)
        assert all(numbers_of(a)["spectra"] == numbers_of(b)["spectra"] for a, b in pair)
    assert (told[-1].finished, told[-1].count, told[-1].running) == (2, 2, {})


def test_progress_names_the_run_and_its_share(tmp_path):
    told = []
    train(tmp_path / "family", progress=told.append)
    shares = [now.running["one"][1] for now in told if "one" in now.running]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5 < shares[-1] <= 1
    assert [now.finished for now in told] == sorted(now.finished for now in told)


def test_stopping_stops_the_processes_too(tmp_path):
    long = tuple(
        replace(run, settings=replace(TRAINING, num_steps=10_000, save_steps=(0, 10_000))) for run in RUNS
    )

    def interrupt(now):
        if now.running:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "family", long, processes=2, progress=interrupt)
    assert not list((tmp_path / "family").glob("*.h5"))


def test_other_settings_under_the_same_name_are_refused_untouched(family):
    before = times(family)
    other = (replace(RUNS[0], settings=replace(TRAINING, seed=5)),)
    with pytest.raises(UsageError, match=r"other settings \(one; .*--folder"):
        train(family, other)
    assert times(family) == before


def test_a_foreign_folder_and_a_file_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"no study made it; .*--folder"):
        train(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        train(tmp_path / "thesis.tex")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
