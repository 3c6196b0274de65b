from __future__ import annotations

import dataclasses
import os
import struct
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import CheckpointError, DataError, UsageError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.series import weights
from spectra_cli.workflows.inspect import inspect

SETTINGS = ScanSettings(num_sequences=8, num_gradient_sequences=8, sequence_length=8, num_blocks=4)
# 64 x 16 embedding and head; per block 4 of 16 x 16, 3 of 24 x 16, 2 gains of 16; a last gain of 16
NUM_PARAMETERS = 2 * 64 * 16 + 2 * (4 * 16 * 16 + 3 * 24 * 16 + 2 * 16) + 16


def punch(file: Path) -> None:
    """Leave a safetensors file its header, and a hole of zeros where the weights were."""
    size = file.stat().st_size
    with file.open("r+b") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        stream.truncate(8 + length)
        stream.truncate(size)


def test_an_inspection_describes_the_series(place):
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS))
    assert (found.run, found.format, found.family) == ("run", "huggingface", "llama")
    assert (found.architecture, found.recognised) == ("LlamaForCausalLM", True)
    assert (found.num_layers, found.width, found.vocab_size) == (2, 16, 64)
    assert [c.ref.step for c in found.checkpoints] == [0, 10, 20]
    assert {c.num_parameters for c in found.checkpoints} == {NUM_PARAMETERS}
    assert {c.num_bytes for c in found.checkpoints} == {4 * NUM_PARAMETERS}
    assert not any(c.problem for c in found.checkpoints)


def test_the_plan_is_what_the_scan_does(archive):
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS))
    checkpoint = open_archive(archive).checkpoint(0)
    execution = checkpoint.provenance.execution
    assert execution["passes"] == len(found.passes)
    assert execution["batch_size"] == found.batch_size
    measured = {s.site.address for s in checkpoint.spectra if s.measurement == "activation_covariance"}
    assert measured == set(found.sites_measured)
    gradients = {s.site.address for s in checkpoint.spectra if s.measurement.startswith("gradient")}
    assert gradients == {address for members in found.passes for address in members}
    assert checkpoint.info.num_parameters == NUM_PARAMETERS


def test_the_notices_are_those_of_the_scan(place, archive):
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS))
    for outline, info in zip(found.checkpoints, open_archive(archive).infos, strict=True):
        known_before = {
            n for n in info.notices if kind_of(n) is not NoticeKind.ABOVE_UNIFORM
        }  # a loss is measured
        assert {*found.notices, *outline.notices} == known_before


def test_half_precision_is_said_beside_the_compute_dtype(place):
    for name in ("checkpoint-0", "checkpoint-10"):
        file = next((place / "run" / name).glob("*.safetensors"))
        tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(file).items()}
        save_file(tensors, file, {"format": "pt"})
    first, _, last = inspect(
        ScanRequest(checkpoints="run", settings=dataclasses.replace(SETTINGS, dtype="float64"))
    ).checkpoints
    assert any(
        "stored in bfloat16" in n and n.endswith("held in float32, passes in float64") for n in first.notices
    )
    assert not any("bfloat16" in notice for notice in last.notices)


def test_weights_that_were_lost_are_refused_as_by_the_scan(place, scan_quietly):
    punch(place / "run" / "checkpoint-10" / "model.safetensors")
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS))
    assert [bool(one.problem) for one in found.checkpoints] == [False, True, False]
    with pytest.raises(DataError, match="nothing but zeros") as refused:
        scan_quietly()
    told = str(found.refusal(skip_errors=False))
    assert told.partition(".")[0] in str(refused.value)
    assert not any("were not read" in notice for notice in found.series_notices)


def test_weights_beyond_what_is_read_are_said_to_be_unread(place, monkeypatch):
    for name in ("checkpoint-10", "checkpoint-20"):
        punch(place / "run" / name / "model.safetensors")
    monkeypatch.setattr(weights, "MOST_BYTES", 2 * 4 * NUM_PARAMETERS)
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS))
    assert [bool(one.problem) for one in found.checkpoints] == [False, True, False]
    assert [n for n in found.series_notices if "weights of 1 of 3 checkpoints were not read" in n]


def test_values_that_are_not_finite_are_told(place):
    file = place / "run" / "checkpoint-10" / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"][3] = torch.nan
    save_file(tensors, file, {"format": "pt"})
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS))
    assert "step10: non-finite weights: model.norm.weight (1 of 16)" in found.series_notices


def test_it_takes_well_under_a_second_a_checkpoint(place):
    inspect(ScanRequest(checkpoints="run", settings=SETTINGS))  # imports
    started = time.process_time()
    inspect(ScanRequest(checkpoints="run", settings=SETTINGS))
    assert (time.process_time() - started) / 3 < 1.0


def test_a_damaged_checkpoint_is_listed_with_its_problem(place, truncate):
    truncate(place / "run/checkpoint-10")
    good, bad, last = inspect(ScanRequest(checkpoints="run", settings=SETTINGS)).checkpoints
    assert "model.safetensors" in bad.problem
    assert not good.problem
    assert not last.problem


def test_memory_that_is_too_small_is_said_and_the_rest_still_shown(place):
    found = inspect(ScanRequest(checkpoints="run", settings=SETTINGS, memory_bytes=1000))
    assert found.plan_problem
    assert found.passes == ()
    assert len(found.checkpoints) == 3


def test_less_memory_means_more_passes_or_smaller_batches(place):
    roomy = inspect(ScanRequest(checkpoints="run", settings=SETTINGS))
    tight = inspect(
        ScanRequest(checkpoints="run", settings=SETTINGS, memory_bytes=sum(roomy.memory_bytes.values()) - 1)
    )
    assert tight.plan_problem or (
        len(tight.passes) > len(roomy.passes) or tight.batch_size < roomy.batch_size
    )


@pytest.mark.parametrize(
    ("change", "words"), [({"layers": "99"}, "layers 0 to 1"), ({"layers": "x"}, "'x' is not a layer")]
)
def test_layers_that_do_not_exist_are_refused(place, change, words):
    with pytest.raises(UsageError, match=words):
        inspect(ScanRequest(checkpoints="run", settings=ScanSettings(**change)))


def test_nothing_to_inspect_says_what_is_looked_for(place):
    os.mkdir("empty")
    with pytest.raises(CheckpointError, match=r"(?s)empty.*config\.json"):
        inspect(ScanRequest(checkpoints="empty", settings=SETTINGS))
