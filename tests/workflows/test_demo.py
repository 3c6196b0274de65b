"""The demo with few steps and few sequences; its full size is what `make demo` runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.extract.demo import training
from spectra_cli.extract.demo.settings import DemoSettings
from spectra_cli.workflows import demo as workflow
from spectra_cli.workflows.demo import DemoRun, demo

SAVED = (0, 3, 6)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    settings = DemoSettings(
        num_train=64, num_validation=32, n_head=2, n_embd=16, batch_size=8, num_steps=6, save_steps=SAVED
    )
    sizes = {"num_sequences": 16, "num_gradient_sequences": 16, "num_blocks": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "DemoSettings", lambda: settings)
        patch.setattr(workflow, "SETTINGS", workflow.SETTINGS | sizes)
        yield


@dataclass
class Finished:
    folder: Path
    runs: tuple[DemoRun, ...]
    trained: list[tuple[str, int, int]] = field(default_factory=list)
    scanned: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory) -> Finished:
    folder = tmp_path_factory.mktemp("demo") / "new" / "demo"
    found = Finished(folder=folder, runs=())
    found.runs = demo(
        folder,
        training=lambda *now: found.trained.append(now),
        scanning=lambda now: found.scanned.append(f"{now.ref.run} {now.ref.key}"),
    )
    return found


def run(folder: Path) -> tuple[DemoRun, ...]:
    return demo(folder, training=lambda *_: None, scanning=lambda _: None)


def test_two_runs_are_trained_scanned_and_left_as_ordinary_folders(finished):
    folder, runs = finished.folder, finished.runs
    assert [r.name for r in runs] == ["adamw", "muon"]
    for one in runs:
        assert one.folder == folder / one.name
        assert one.scan.archive == folder / f"{one.name}.spectra.h5"
        names = {p.name for p in one.folder.iterdir()}
        assert names == {"args.json", "probe.npy"} | {f"checkpoint_step{step:06d}.pt" for step in SAVED}
        archive = open_archive(one.scan.archive)
        assert [ref.step for ref in archive.refs] == list(SAVED)
        assert not archive.provenance.probe.synthetic
    there = sorted(p.name for p in folder.iterdir())
    assert there == ["adamw", "adamw.spectra.h5", "muon", "muon.spectra.h5"]


def test_both_runs_start_alike_see_the_same_probe_and_part_ways(finished, numbers_of):
    adamw, muon = (open_archive(one.scan.archive) for one in finished.runs)
    assert adamw.provenance.probe.digest == muon.provenance.probe.digest
    assert adamw.infos[0].digest == muon.infos[0].digest
    assert adamw.infos[-1].digest != muon.infos[-1].digest
    first, other = numbers_of(adamw.checkpoint(0)), numbers_of(muon.checkpoint(0))
    assert first["spectra"] == other["spectra"]


def test_interrupted_it_goes_on_where_it_was_and_gives_the_same_numbers(finished, tmp_path, numbers_of):
    folder = tmp_path / "demo"
    trained: list[tuple[str, int, int]] = []

    def stops_in_the_second_scan(now):
        if (now.ref.run, now.ref.step) == ("muon", SAVED[1]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(folder, training=lambda *_: None, scanning=stops_in_the_second_scan)
    again = demo(folder, training=lambda *now: trained.append(now), scanning=lambda _: None)
    assert trained == []
    assert [[ref.step for ref in one.scan.measured] for one in again] == [[], list(SAVED[1:])]
    for before, after in zip(finished.runs, again, strict=True):
        pair = zip(open_archive(before.scan.archive), open_archive(after.scan.archive), strict=True)
        assert all(numbers_of(one)["spectra"] == numbers_of(other)["spectra"] for one, other in pair)


def test_a_run_whose_training_was_cut_off_is_trained_and_scanned_anew(finished, tmp_path, numbers_of):
    copied = shutil.copytree(finished.folder, tmp_path / "demo")
    (copied / "adamw" / f"checkpoint_step{SAVED[-1]:06d}.pt").unlink()
    adamw, muon = run(copied)
    assert ([ref.step for ref in adamw.scan.measured], muon.scan.measured) == (list(SAVED), ())
    pair = zip(open_archive(finished.runs[0].scan.archive), open_archive(adamw.scan.archive), strict=True)
    assert all(numbers_of(one)["spectra"] == numbers_of(other)["spectra"] for one, other in pair)


def test_progress_tells_of_training_and_scanning(finished):
    assert finished.trained == [(run, step, 6) for run in ("adamw", "muon") for step in range(1, 7)]
    expected = [f"{run} step{step}" for run in ("adamw", "muon") for step in SAVED]
    assert list(dict.fromkeys(finished.scanned)) == expected


def test_a_run_that_no_demo_wrote_is_refused_untouched(tmp_path):
    precious = tmp_path / "muon" / "checkpoint_step000100.pt"
    precious.parent.mkdir()
    precious.write_text("precious")
    with pytest.raises(UsageError, match=r"muon.*--output"):
        run(tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [precious]


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(UsageError, match="demo"):
        run(tmp_path / "demo")
