"""A scan goes on with its own run, moved or not, and refuses another one before any work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from spectra_cli.archive.content.layout import list_parts
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.scan_request import SeriesOptions
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.workflows.scan import ScanProgress, scan
from spectra_cli.workflows.show import show
from spectra_cli.workflows.validate import validate

ARCHIVE = Path("out.spectra.h5")


def other_weights(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    save_file({name: 0.5 * tensor for name, tensor in load_file(file).items()}, file, {"format": "pt"})


@pytest.fixture
def two_runs(place) -> Path:
    """exp1/out and exp2/out, alike at step 0; exp1 is scanned."""
    (place / "exp1").mkdir()
    shutil.move(place / "run", place / "exp1" / "out")
    shutil.copytree(place / "exp1", place / "exp2")
    for step in (10, 20):
        other_weights(place / "exp2" / "out" / f"checkpoint-{step}")
    return place


def steps(words: str) -> SeriesOptions:
    return SeriesOptions(selection=SeriesSelection(steps=words))


@pytest.mark.parametrize("asked", ["exp2/out", "exp2/out/checkpoint-20"])
@pytest.mark.parametrize("chosen", [None, "20"])
@pytest.mark.usefixtures("two_runs")
def test_another_run_of_the_same_name_is_refused_before_any_work(scan_quietly, request_for, asked, chosen):
    scan_quietly(checkpoints="exp1/out", series=SeriesOptions() if chosen is None else steps(chosen))
    before = ARCHIVE.read_bytes()
    seen: list[ScanProgress] = []
    with pytest.raises(ArchiveError, match=r"is of .*/exp1/out \(.*not of .*/exp2/out.*with -o") as caught:
        scan(request_for(checkpoints=asked, output=ARCHIVE), seen.append)
    assert "step20 is not the same in both" in str(caught.value)
    assert not [now for now in seen if now.activity == "reading"]
    assert ARCHIVE.read_bytes() == before
    assert not list_parts(ARCHIVE)
    for command in (show, validate):
        with pytest.raises(ArchiveError, match=r"of .*/exp1/out .*not of exp2/out"):
            command("exp2/out")
        command("exp1/out")
        command(ARCHIVE)


def test_step_0_alone_shows_nothing(two_runs, scan_quietly):
    """Two runs from one start hold the same weights there."""
    scan_quietly(checkpoints="exp1/out", series=steps("0"))
    os.utime(two_runs / "exp2" / "out" / "checkpoint-0" / "model.safetensors", (1, 1))
    with pytest.raises(ArchiveError, match="step0 is not the same in both"):
        scan_quietly(checkpoints="exp2/out", output=ARCHIVE)


@pytest.mark.parametrize("times", ["kept", "lost"])
def test_a_moved_run_with_further_checkpoints_goes_on_under_another_name(place, scan_quietly, times):
    later = place / "run" / "checkpoint-20"
    later.rename(place / "later")
    scan_quietly(output=ARCHIVE)
    shutil.move(place / "run", place / "renamed")
    shutil.move(place / "later", place / "renamed" / "checkpoint-20")
    if times == "lost":  # as `cp -r` does
        for file in (place / "renamed").glob("*/*"):
            os.utime(file, (1, 1))
    result = scan_quietly(checkpoints="renamed", output=ARCHIVE)
    assert [ref.key for ref in result.kept] == (["step0", "step10"] if times == "kept" else [])
    archive = open_archive(ARCHIVE)
    assert [ref.key for ref in archive.refs] == ["step0", "step10", "step20"]
    assert set(archive.origins) == {str(place / "run"), str(place / "renamed")}


def test_the_same_run_under_a_link_and_by_its_checkpoints_one_by_one(place, scan_quietly):
    (place / "link").symlink_to(place / "run")
    for checkpoints in ("run/checkpoint-10", "link/checkpoint-20", "./link"):
        scan_quietly(checkpoints=checkpoints, output=ARCHIVE)
    archive = open_archive(ARCHIVE)
    assert [ref.key for ref in archive.refs] == ["step0", "step10", "step20"]
    assert archive.origins == (str(place / "run"),)


def test_a_copy_that_may_have_gone_another_way_is_refused(place, scan_quietly):
    scan_quietly(output=ARCHIVE, series=steps("10"))
    shutil.copytree(place / "run", place / "copy")
    (place / "copy" / "checkpoint-20").rename(place / "copy" / "checkpoint-30")
    with pytest.raises(ArchiveError, match="checkpoint-20 is still there and not in this copy"):
        scan_quietly(checkpoints="copy", output=ARCHIVE)
    # what the archive holds is in the copy too, and nothing would be added
    assert len(scan_quietly(checkpoints="copy", output=ARCHIVE, series=steps("10")).kept) == 1
    # a copy with all that the original has goes on where that ended
    shutil.copytree(place / "run" / "checkpoint-20", place / "copy" / "checkpoint-20")
    assert len(scan_quietly(checkpoints="copy", output=ARCHIVE).measured) == 3


def test_a_copy_that_went_on_to_the_same_step_with_other_weights_is_refused(place, scan_quietly):
    scan_quietly(output=ARCHIVE, series=steps("0,10"))
    shutil.copytree(place / "run", place / "fork")
    other_weights(place / "fork" / "checkpoint-20")
    with pytest.raises(
        ArchiveError, match=r"run/checkpoint-20.* is not .*fork/checkpoint-20: .*different ways"
    ):
        scan_quietly(checkpoints="fork", output=ARCHIVE)
    # a copy that holds the same is the same run, whatever was put beside its weights
    shutil.copy2(place / "run" / "checkpoint-20" / "model.safetensors", place / "fork" / "checkpoint-20")
    (place / "fork" / "checkpoint-20" / "notes.txt").write_text("copied")
    assert [ref.step for ref in scan_quietly(checkpoints="fork", output=ARCHIVE).measured] == [20]


@pytest.mark.parametrize("held", ["0,10,20", "0,10"])
def test_a_link_into_a_run_does_not_make_another_run_the_same(held, place, scan_quietly):
    scan_quietly(output=ARCHIVE, series=steps(held))
    (place / "fork").mkdir()
    for step in (0, 10):
        (place / "fork" / f"checkpoint-{step}").symlink_to(place / "run" / f"checkpoint-{step}")
    shutil.copytree(place / "run" / "checkpoint-20", place / "fork" / "checkpoint-20")
    other_weights(place / "fork" / "checkpoint-20")
    before = ARCHIVE.read_bytes()
    with pytest.raises(ArchiveError, match=r"with -o"):
        scan_quietly(checkpoints="fork", output=ARCHIVE)
    assert ARCHIVE.read_bytes() == before


def test_a_folder_of_links_into_one_run_is_of_that_run(place, scan_quietly):
    scan_quietly(output=ARCHIVE, series=steps("10"))
    (place / "some").mkdir()
    for step in (10, 20):
        (place / "some" / f"checkpoint-{step}").symlink_to(place / "run" / f"checkpoint-{step}")
    assert [ref.step for ref in scan_quietly(checkpoints="some", output=ARCHIVE).measured] == [20]


def test_a_model_without_a_step_is_kept_where_it_is_moved_to(place, scan_quietly):
    shutil.move(place / "run" / "checkpoint-20", place / "model")
    scan_quietly(checkpoints="model")
    (place / "there").mkdir()
    shutil.move(place / "model", place / "there" / "model")
    for _ in range(2):
        result = scan_quietly(checkpoints="there/model")
        assert (len(result.kept), len(result.measured)) == (1, 0)
    assert len(open_archive("model.spectra.h5")) == 1
    other_weights(place / "there" / "model")
    (place / "elsewhere").mkdir()
    shutil.move(place / "there" / "model", place / "elsewhere" / "model")
    with pytest.raises(ArchiveError, match="is not the same in both"):
        scan_quietly(checkpoints="elsewhere/model")


def test_a_run_trained_anew_at_the_same_place_is_not_mixed_with_the_old_one(place, scan_quietly):
    scan_quietly(output=ARCHIVE)
    shutil.rmtree(place / "run" / "checkpoint-20")
    for step in (0, 10):
        other_weights(place / "run" / f"checkpoint-{step}")
    with pytest.raises(ArchiveError, match="two trainings would be mixed"):
        scan_quietly(output=ARCHIVE)
    assert len(scan_quietly(output=ARCHIVE, overwrite=True).measured) == 2


def test_an_archive_of_an_older_version_is_known_by_its_addresses(two_runs, scan_quietly):
    scan_quietly(checkpoints="exp1/out")
    write_archive(ARCHIVE, list(open_archive(ARCHIVE)))
    assert not open_archive(ARCHIVE).statement.origins
    with pytest.raises(ArchiveError, match=r"of .*/exp1/out .*not of .*/exp2/out"):
        scan_quietly(checkpoints="exp2/out")
    shutil.move(two_runs / "exp1" / "out", two_runs / "run")
    assert len(scan_quietly(checkpoints="run", output=ARCHIVE).kept) == 3
