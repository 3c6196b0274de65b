from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectra_cli.archive import writer
from spectra_cli.archive.content.layout import list_parts, parts_folder
from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import ArchiveError, CheckpointError, DataError, ProbeError, UsageError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import resolve_settings
from spectra_cli.workflows.inspect import inspect
from spectra_cli.workflows.scan import ScanProgress, scan

ALL = ["step0", "step10", "step20"]
ARCHIVE = Path("run.spectra.h5")


def keys(refs) -> list[str]:
    return [ref.key for ref in refs]


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Writes beyond `num_bytes` of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_scan_measures_every_checkpoint_and_leaves_one_file(place, scan_quietly):
    before = snapshot(place / "run")
    result = scan_quietly()
    assert keys(result.measured) == ALL
    assert (result.kept, result.failed) == ((), ())
    assert result.archive == place / ARCHIVE
    assert keys(open_archive(result.archive).refs) == ALL
    assert not parts_folder(result.archive).exists()
    assert sorted(p.name for p in place.iterdir()) == ["probe.npy", "run", "run.spectra.h5"]
    assert snapshot(place / "run") == before  # the checkpoint folder is left untouched


def test_progress_goes_through_the_checkpoints_in_order(request_for):
    seen: list[ScanProgress] = []
    scan(request_for(), seen.append)
    assert list(dict.fromkeys(now.ref.key for now in seen)) == ALL
    assert {now.count for now in seen} == {3}
    assert [now.number for now in seen] == sorted(now.number for now in seen)
    assert all(0 <= now.done <= now.total and now.activity for now in seen)


def test_the_same_scan_gives_the_same_numbers(scan_quietly, whole, numbers_of):
    for one, other in zip(open_archive(scan_quietly().archive), open_archive(whole), strict=True):
        assert numbers_of(one) == numbers_of(other)


def test_an_unchanged_second_scan_measures_nothing(archive, scan_quietly):
    before = archive.read_bytes()
    result = scan_quietly()
    assert (result.measured, keys(result.kept)) == ((), ALL)
    assert archive.read_bytes() == before


def test_a_new_checkpoint_is_added_and_the_others_kept(place, scan_quietly, whole, numbers_of):
    later = place / "run" / "checkpoint-20"
    later.rename(place / "later")
    scan_quietly()
    shutil.move(place / "later", later)
    result = scan_quietly()
    assert (keys(result.measured), keys(result.kept)) == (["step20"], ["step0", "step10"])
    for one, other in zip(open_archive(result.archive), open_archive(whole), strict=True):
        assert numbers_of(one) == numbers_of(other)


def test_a_changed_checkpoint_is_measured_again(place, archive, scan_quietly):
    before = open_archive(archive).checkpoint(1)
    shutil.copy(place / "run/checkpoint-20/model.safetensors", place / "run/checkpoint-10/model.safetensors")
    result = scan_quietly()
    assert (keys(result.measured), keys(result.kept)) == (["step10"], ["step0", "step20"])
    after = open_archive(result.archive).checkpoint(1)
    assert after.info.digest != before.info.digest
    assert not np.array_equal(after.spectra[0].values, before.spectra[0].values)


def test_duplicates_in_the_series_are_reported(place, scan_quietly):
    shutil.copytree(place / "run/checkpoint-10", place / "run/checkpoint-15")
    notices = scan_quietly().notices
    (notice,) = (said for said in notices if kind_of(said) is not NoticeKind.ABOVE_UNIFORM)
    assert "step10, step15" in notice
    assert "identical" in notice
    assert NoticeKind.ABOVE_UNIFORM in map(kind_of, notices)  # random weights at steps 10 and 15
    assert scan_quietly().notices == notices  # also when all are kept


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_scan_keeps_what_was_finished_and_continues(
    request_for, scan_quietly, whole, numbers_of, stop_after
):
    def stop(now: ScanProgress) -> None:
        if now.number > stop_after and now.activity != "reading":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(request_for(), stop)
    assert len(list_parts(ARCHIVE)) == stop_after
    assert keys(open_archive(ARCHIVE).refs) == ALL[:stop_after]  # and can be shown as it is
    result = scan_quietly()
    assert (keys(result.kept), keys(result.measured)) == (ALL[:stop_after], ALL[stop_after:])
    for one, other in zip(open_archive(result.archive), open_archive(whole), strict=True):
        assert numbers_of(one) == numbers_of(other)


CHANGES = {
    "normalize": {"normalize": "none"},
    "num_sequences": {"num_sequences": 6},
    "layers": {"layers": "1"},
    "seed": {"seed": 1},
    "dtype": {"dtype": "float64"},
}


@pytest.mark.parametrize(("name", "change"), CHANGES.items())
def test_other_settings_are_refused_by_name(archive, scan_quietly, name, change, request_for):
    before = archive.read_bytes()
    settings = replace(request_for().settings, **change)
    with pytest.raises(ArchiveError, match=name) as caught:
        scan_quietly(settings=settings)
    assert "--overwrite" in str(caught.value)
    assert archive.read_bytes() == before
    assert not list_parts(archive)


def test_another_probe_is_refused_by_name(place, archive, scan_quietly):
    np.save(place / "other.npy", np.load(place / "probe.npy")[::-1])
    with pytest.raises(ArchiveError, match=r"probe\.digest"):
        scan_quietly(probe="other.npy")
    result = scan_quietly(probe="other.npy", overwrite=True)
    assert keys(result.measured) == ALL
    assert open_archive(archive).provenance.probe.source.endswith("other.npy")


@pytest.mark.usefixtures("archive")
def test_the_same_probe_under_another_name_is_the_same_probe(place, scan_quietly):
    shutil.copy(place / "probe.npy", place / "moved.npy")
    assert scan_quietly(probe="moved.npy").measured == ()


@pytest.mark.usefixtures("archive")
def test_a_moved_run_is_the_same_run(place, scan_quietly):
    (place / "elsewhere").mkdir()
    shutil.move(place / "run", place / "elsewhere/run")
    assert scan_quietly(checkpoints="elsewhere/run").measured == ()


@pytest.mark.usefixtures("archive")
def test_without_resume_an_existing_archive_is_refused(scan_quietly):
    with pytest.raises(UsageError, match=r"run\.spectra\.h5 exists"):
        scan_quietly(resume=False)
    assert keys(scan_quietly(overwrite=True).measured) == ALL


def test_overwrite_does_not_throw_away_what_it_cannot_replace(archive, scan_quietly, request_for):
    before = archive.read_bytes()
    with pytest.raises(ProbeError):
        scan_quietly(overwrite=True, probe="missing.npy")
    with pytest.raises(UsageError):
        scan_quietly(overwrite=True, settings=replace(request_for().settings, layers="99"))
    assert archive.read_bytes() == before


def test_a_damaged_checkpoint_stops_the_scan_and_the_earlier_ones_are_kept(place, scan_quietly, truncate):
    truncate(place / "run/checkpoint-10")
    with pytest.raises(DataError, match="step10") as caught:
        scan_quietly()
    assert caught.value.exit_code == 3
    assert "--on-error skip" in str(caught.value)
    assert keys(open_archive(ARCHIVE).refs) == ["step0"]


def test_a_damaged_checkpoint_is_left_out_when_asked(place, scan_quietly, truncate, pristine):
    truncate(place / "run/checkpoint-10")
    result = scan_quietly(skip_errors=True)
    assert keys(result.measured) == ["step0", "step20"]
    ((ref, reason),) = result.failed
    assert ref.key == "step10"
    assert "model.safetensors" in reason
    shutil.copytree(pristine / "run/checkpoint-10", place / "run/checkpoint-10", dirs_exist_ok=True)
    again = scan_quietly()
    assert (keys(again.measured), keys(again.kept)) == (["step10"], ["step0", "step20"])


def test_a_damaged_first_checkpoint_does_not_hide_the_others(place, scan_quietly, truncate):
    truncate(place / "run/checkpoint-0")
    assert keys(scan_quietly(skip_errors=True).measured) == ["step10", "step20"]


def test_nothing_but_damaged_checkpoints_is_an_error(place, scan_quietly, truncate):
    for step in (0, 10, 20):
        truncate(place / f"run/checkpoint-{step}")
    with pytest.raises(CheckpointError, match="checkpoint-0"):
        scan_quietly(skip_errors=True)
    assert not ARCHIVE.exists()


def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work(place, request_for, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path.cwd() and os.path.exists(path))
    with pytest.raises(UsageError, match=f"{place} cannot be written to; choose another place with -o"):
        scan(request_for(), pytest.fail)


def test_a_full_disk_loses_nothing(place, scan_quietly):
    shutil.move(place / "run/checkpoint-20", place / "later")
    archive = scan_quietly().archive
    before = archive.read_bytes()
    shutil.move(place / "later", place / "run/checkpoint-20")
    with largest_file(16_384), pytest.raises(ArchiveError, match=r"run\.spectra\.h5") as caught:
        scan_quietly()
    assert os.strerror(27) in str(caught.value)  # EFBIG, what this limit gives in place of ENOSPC
    assert archive.read_bytes() == before
    assert not list_parts(archive)
    assert keys(scan_quietly().measured) == ["step20"]


def test_a_disk_that_fills_up_at_the_last_moment_keeps_the_parts(scan_quietly, monkeypatch):
    part_sizes = {p.stat().st_size for p in _parts_of_an_unfinished_scan(scan_quietly, monkeypatch)}
    with largest_file(max(part_sizes) + 1024), pytest.raises(ArchiveError):
        scan_quietly()
    assert keys(open_archive(ARCHIVE).refs) == ALL
    result = scan_quietly()
    assert (result.measured, keys(result.kept)) == ((), ALL)
    assert not list_parts(ARCHIVE)


def _parts_of_an_unfinished_scan(scan_quietly, monkeypatch) -> tuple[Path, ...]:
    def stop(_: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("spectra_cli.workflows.scan.consolidate", stop)
        with pytest.raises(KeyboardInterrupt):
            scan_quietly()
    return list_parts(ARCHIVE)


def test_a_damaged_part_is_measured_again_and_said_so(scan_quietly, monkeypatch):
    part = _parts_of_an_unfinished_scan(scan_quietly, monkeypatch)[1]
    os.truncate(part, 100)
    result = scan_quietly()
    assert (keys(result.measured), keys(result.kept)) == (["step10"], ["step0", "step20"])
    assert any(part.name in notice for notice in result.notices)
    assert writer.consolidate(ARCHIVE) == ARCHIVE


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"probe": ""}, UsageError, "--probe"),
        ({"probe": "missing.npy"}, ProbeError, "missing.npy"),
        ({"checkpoints": "nowhere"}, CheckpointError, "nowhere"),
        ({"checkpoints": "probe.npy"}, CheckpointError, "probe.npy"),
        ({"output": Path("run")}, UsageError, "folder"),
        ({"output": Path("no/such/a.h5")}, UsageError, "no/such"),
        ({"device": "tpu"}, UsageError, "tpu"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(place, scan_quietly, changes, error, words):
    before = snapshot(place)
    with pytest.raises(error, match=words):
        scan_quietly(**changes)
    assert snapshot(place) == before


def test_the_paper_s_preset_on_a_shallow_model_says_what_it_measures(place, scan_quietly):
    counts = {"num_sequences": 8, "num_gradient_sequences": 8, "sequence_length": 8}
    settings = resolve_settings("paper-compat", counts)
    result = scan_quietly(settings=settings, output=place / "paper.h5")
    said = "layers 0: of the paper's 0, 3, 6, 9 and 11 those that a model of 2 layers has"
    assert said in result.before
    provenance = open_archive(place / "paper.h5").provenance
    assert said in provenance.probe.notices
    assert (provenance.settings["layers"], provenance.settings["targets"]) == ("0", "ignore_last")
    found = inspect(ScanRequest(checkpoints="run", settings=settings))
    assert said in found.notices
    assert found.sites_measured == ("blocks.0.resid_post",)
    with pytest.raises(ArchiveError, match=r"settings\.targets: ignore_last against next_token"):
        scan_quietly(settings=replace(settings, targets="next_token"), output=place / "paper.h5")


def test_what_is_under_way_is_named_before_the_first_checkpoint(request_for, place):
    stages: list[str] = []
    request = request_for(
        checkpoints=place / "run", probe=place / "probe.npy", output=str(place / "a.spectra.h5")
    )
    assert scan(request, lambda _: None, stage=stages.append).archive == place / "a.spectra.h5"
    opened = ["loading PyTorch", "opening the series", "reading the probe"]
    assert stages == [*opened, "planning", "reading headers"]


def test_notices_are_not_told_again_where_there_is_nothing_to_do(place, scan_quietly, request_for):
    (place / "run" / "checkpoint-30").symlink_to(place / "run" / "checkpoint-20")
    told: list[str] = []
    scan(request_for(), lambda _: None, told.append)
    assert len(told) == 1
    again: list[str] = []
    result = scan(request_for(), lambda _: None, again.append)
    assert (again, result.before, result.found_all_done) == ([], tuple(told), True)
