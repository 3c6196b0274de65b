"""Scans and inspections of a chosen part of a series, with what the user knows about it."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import ArchiveError, DataError, UsageError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.core.scan_request import ScanRequest, SeriesOptions
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.core.settings import ScanSettings
from spectra_cli.workflows.inspect import inspect
from spectra_cli.workflows.scan import scan

ARCHIVE = Path("run.spectra.h5")
SETTINGS = ScanSettings(num_sequences=8, num_gradient_sequences=8, sequence_length=8, num_blocks=4)


def chosen(**choice) -> SeriesOptions:
    return SeriesOptions(selection=SeriesSelection(**choice))


def keys(refs) -> list[str]:
    return [ref.key for ref in refs]


def change(checkpoint: Path, name: str, index: tuple[int, ...], value: float) -> None:
    state = load_file(checkpoint / "model.safetensors")
    state[name][index] = value
    save_file(state, checkpoint / "model.safetensors", metadata={"format": "pt"})


# ----------------------------------------------------------------------------- choosing


def test_a_part_of_the_series_is_measured_and_the_choice_recorded(place, scan_quietly):
    result = scan_quietly(series=chosen(steps="0:20:20"))
    assert keys(result.measured) == ["step0", "step20"]
    executions = [c.provenance.execution for c in open_archive(ARCHIVE)]
    assert {execution["selection"] for execution in executions} == {"--steps 0:20:20"}
    assert "2 of 3 checkpoints are chosen by --steps 0:20:20" in result.before


def test_other_steps_of_the_archive_stay(archive, scan_quietly, whole, numbers_of):
    result = scan_quietly(series=chosen(last=1))
    assert (result.measured, keys(result.kept)) == ((), ["step20"])
    assert archive.read_bytes() == whole.read_bytes()


def test_part_after_part_gives_the_whole(place, scan_quietly, whole, numbers_of):
    scan_quietly(series=chosen(steps="10"))
    scan_quietly(series=chosen(limit=1))
    result = scan_quietly()
    assert (keys(result.measured), keys(result.kept)) == (["step20"], ["step0", "step10"])
    for one, other in zip(open_archive(ARCHIVE), open_archive(whole), strict=True):
        assert numbers_of(one) == numbers_of(other)


def test_an_absent_step_is_refused_before_anything_is_written(place, scan_quietly):
    with pytest.raises(UsageError, match="no step 15; the nearest are 10 and 20"):
        scan_quietly(series=chosen(steps="15"))
    assert not ARCHIVE.exists()


def test_an_inspection_shows_what_is_chosen(place):
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS, series=chosen(every=2)))
    assert [c.ref.step for c in found.checkpoints] == [0, 20]
    assert found.series_notices == ("2 of 3 checkpoints are chosen by --every 2",)


# ----------------------------------------------------------------------------- hygiene


def test_oddities_are_said_before_the_first_weight_is_read(request_for, place, truncate):
    truncate(place / "run/checkpoint-20")
    (place / "run/checkpoint-10/trainer_state.json").write_text(json.dumps({"global_step": 11}))
    said: list[str] = []

    def first_activity(_: object) -> None:
        assert len(said) == 2

    result = scan(request_for(skip_errors=True), first_activity, said.append)
    assert (
        tuple(said)
        == result.before
        == inspect(ScanRequest(checkpoints="run", settings=SETTINGS)).series_notices
    )
    assert said[0].startswith("step20 cannot be read")
    assert said[1] == "step10: checkpoint-10 is named after step 10 and says step 11 inside"


def test_identical_checkpoints_are_measured_once(place, scan_quietly):
    shutil.copytree(place / "run/checkpoint-10", place / "run/checkpoint-15")
    result = scan_quietly()
    assert keys(result.measured) == ["step0", "step10", "step15", "step20"]
    one, copy = (open_archive(ARCHIVE).checkpoint(index) for index in (1, 2))
    assert copy.provenance.execution["taken_from"] == "step10"
    assert "taken_from" not in one.provenance.execution
    assert "step15 holds the tensors of step10: its numbers were taken over" in copy.info.notices
    for s, t in zip(one.spectra, copy.spectra, strict=True):
        assert s.values.tobytes() == t.values.tobytes()
    assert [s.value for s in one.scalars] == [s.value for s in copy.scalars]
    # and they are those of a measurement of its own
    alone = scan_quietly(output=Path("alone.h5"), series=chosen(steps="15")).archive
    (own,) = open_archive(alone)
    assert own.info.digest == copy.info.digest
    assert "taken_from" not in own.provenance.execution
    for s, t in zip(own.spectra, copy.spectra, strict=True):
        assert s.values.tobytes() == t.values.tobytes()


def test_a_copy_of_a_checkpoint_of_an_earlier_scan(place, archive, scan_quietly):
    shutil.copytree(place / "run/checkpoint-20", place / "run/checkpoint-30")
    scan_quietly()
    assert open_archive(archive).checkpoint(3).provenance.execution["taken_from"] == "step20"


def test_the_same_tensors_under_another_configuration_are_measured(place, scan_quietly):
    shutil.copytree(place / "run/checkpoint-10", place / "run/checkpoint-15")
    config = place / "run/checkpoint-15/config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 0.1'))
    scan_quietly()
    one, other = (open_archive(ARCHIVE).checkpoint(index) for index in (1, 2))
    assert one.info.digest == other.info.digest
    assert "taken_from" not in other.provenance.execution
    assert one.spectra[0].values.tobytes() != other.spectra[0].values.tobytes()


def test_the_run_folders_own_weights_cost_nothing_twice(place, scan_quietly):
    """What `Trainer.save_model` leaves beside the checkpoints: the last weights, without a step."""
    for file in ("config.json", "model.safetensors"):
        shutil.copy(place / "run/checkpoint-20" / file, place / "run" / file)
    result = scan_quietly()
    last = open_archive(ARCHIVE).checkpoint(3)
    assert last.ref.key == "nostep-final"
    assert last.provenance.execution["taken_from"] == "step20"
    assert any(n.startswith("nostep-final: the run folder's own weights") for n in result.before)
    assert any(n.startswith("step20, nostep-final hold identical tensors") for n in result.notices)


def test_non_finite_weights_are_named_and_the_rest_measured(place, scan_quietly):
    change(place / "run/checkpoint-10", "lm_head.weight", (3, 2), math.nan)
    result = scan_quietly(
        settings=ScanSettings(measurements=("weight",), matrices=("attn.q", "lm_head")), probe=""
    )
    notice = "step10: non-finite weights: lm_head.weight (1 of 1024)"
    assert notice in result.notices
    middle = open_archive(ARCHIVE).checkpoint(1)
    assert notice in middle.info.notices
    assert {s.site.address for s in middle.spectra} == {"blocks.0.attn.q", "blocks.1.attn.q"}
    assert any(s.site.address == "lm_head" for s in middle.skipped)


def test_a_checkpoint_that_non_finite_weights_make_immeasurable_fails_by_name(place, scan_quietly):
    change(place / "run/checkpoint-10", "model.embed_tokens.weight", (slice(None), 0), math.inf)
    settings = replace(SETTINGS, measurements=("activation_covariance",))
    with pytest.raises(DataError, match=r"step10: non-finite weights: model\.embed_tokens\.weight \(64 of "):
        scan_quietly(settings=settings)
    result = scan_quietly(settings=settings, skip_errors=True)
    assert keys(ref for ref, _ in result.failed) == ["step10"]
    assert "embed_tokens" in result.failed[0][1]


# ----------------------------------------------------------------------------- metadata

LOG = "step,loss,val_loss,lr,tokens\n0,4.5,4.6,0,0\n10,3.5,3.6,0.001,1000\n20,3.0,3.1,0.0005,2000\n"


def test_a_log_reaches_inspection_and_archive_with_its_source(place, scan_quietly):
    Path("log.csv").write_text(LOG)
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS, series=SeriesOptions(log="log.csv")))
    assert [c.learning_rate for c in found.checkpoints] == [0, 0.001, 0.0005]
    scan_quietly(series=SeriesOptions(log="log.csv"))
    info = open_archive(ARCHIVE).infos[1]
    assert (info.train_loss, info.eval_loss, info.learning_rate, info.tokens_seen) == (3.5, 3.6, 0.001, 1000)
    assert info.sources["eval_loss"] == "log.csv: val_loss"
    assert found.checkpoints[1].sources == info.sources


def test_a_log_given_later_that_lacks_a_step_says_so(archive, scan_quietly):
    Path("log.csv").write_text("step,val_loss\n0,3.5\n10,3.25\n")
    assert scan_quietly(series=SeriesOptions(log="log.csv")).measured == ()
    notices = [info.notices for info in open_archive(ARCHIVE).infos]
    said = "log.csv has no val_loss at step 20; the nearest is at step 10"
    assert [said in found for found in notices] == [False, False, True]


def test_a_log_given_later_is_taken_up_without_measuring_again(place, archive, scan_quietly, numbers_of):
    before = [numbers_of(c) for c in open_archive(archive)]
    Path("log.csv").write_text(LOG)
    result = scan_quietly(series=SeriesOptions(log="log.csv"))
    assert (result.measured, keys(result.kept)) == ((), ["step0", "step10", "step20"])
    assert any("brought up to date, numbers kept: step0, step10, step20" in n for n in result.notices)
    assert [info.eval_loss for info in open_archive(archive).infos] == [4.6, 3.6, 3.1]
    for old, new in zip(before, open_archive(archive), strict=True):
        found = numbers_of(new)
        assert (old["spectra"], old["scalars"]) == (found["spectra"], found["scalars"])
    unchanged = archive.read_bytes()
    again = scan_quietly(series=SeriesOptions(log="log.csv")).notices
    # random weights have a loss above that of uniform guesses, which is said again
    assert [notice for notice in again if kind_of(notice) is not NoticeKind.ABOVE_UNIFORM] == []
    scan_quietly()  # without the log, what it said stays
    assert archive.read_bytes() == unchanged


def test_run_toml_names_the_run_and_its_tokens(place, scan_quietly):
    Path("run/run.toml").write_text('name = "muon"\nbatch_size_tokens = 64\ndataset = "FineWeb"\n')
    scan_quietly()
    opened = open_archive(ARCHIVE)
    assert {ref.run for ref in opened.refs} == {"muon"}
    assert [info.tokens_seen for info in opened.infos] == [0, 640, 1280]
    assert opened.infos[0].facts == {"dataset": "FineWeb"}
    assert opened.infos[0].batch_size_tokens == 64


def test_facts_about_the_model_bind_the_archive(place, archive, scan_quietly):
    said = SeriesOptions(model={"rms_norm_eps": 0.1})
    with pytest.raises(ArchiveError, match=r"settings\.model\.facts\.rms_norm_eps: not set against 0\.1"):
        scan_quietly(series=said)
    scan_quietly(series=said, overwrite=True)
    assert open_archive(archive).provenance.settings["model"] == {"facts": {"rms_norm_eps": 0.1}}


def test_a_refused_scan_leaves_the_archive_that_it_would_replace(place, archive, scan_quietly):
    before = archive.read_bytes()
    with pytest.raises(UsageError):
        scan_quietly(series=chosen(steps="15"), overwrite=True)
    assert archive.read_bytes() == before
    assert os.listdir(place).count("run.spectra.h5") == 1
