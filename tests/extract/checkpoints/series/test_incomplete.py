"""What is nearly a checkpoint is told for what it is, and what it lacks."""

import os
import shutil

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.llm_c import LlmcFormat
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.digest import state_digest
from tests.extract.writers import llmc
from tests.extract.writers.huggingface import CONFIGS, random_model


@pytest.fixture
def llama(tmp_path):
    """A folder with a model."""
    random_model({"model_type": "llama", **CONFIGS["llama"]}).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def read(path):
    source = find_source(str(path))
    return source.header(source.refs()[0])


def reason_at(path):
    with pytest.raises(CheckpointError) as error:
        read(path)
    return str(error.value)


def test_weights_without_a_configuration(llama):
    (llama / "config.json").unlink()
    assert reason_at(llama) == (
        f"{llama}: weights without config.json, and nothing else says what model they are of. Put the "
        "model's config.json there (model.config.save_pretrained writes it)"
    )


def test_one_checkpoint_of_a_run_without_a_configuration(llama, tmp_path):
    for step in (1, 2):
        shutil.copytree(llama, tmp_path / "run" / f"checkpoint-{step}")
    (tmp_path / "run" / "checkpoint-2" / "config.json").unlink()
    source = find_source(str(tmp_path / "run"))
    assert source.header(source.refs()[0]).tensors
    with pytest.raises(
        CheckpointError, match=r"checkpoint-2: weights without config\.json, and nothing else"
    ):
        source.header(source.refs()[1])


def accelerated(llama, folder):
    """As accelerate's save_state leaves it."""
    folder.mkdir(parents=True)
    shutil.copy(llama / "model.safetensors", folder)
    for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
        torch.save({}, folder / name)


def test_what_accelerate_saves_is_told_apart(llama, tmp_path):
    accelerated(llama, tmp_path / "state")
    assert "without config.json, as accelerate's save_state leaves them, and nothing" in reason_at(
        tmp_path / "state"
    )


def test_what_accelerate_saves_is_read_where_the_run_says_what_it_is(llama, tmp_path):
    run = tmp_path / "run"
    for number in (0, 1):
        accelerated(llama, run / f"checkpoint_{number}")
    shutil.copy(llama / "config.json", run)
    source = find_source(str(run))
    assert [ref.step for ref in source.refs()] == [0, 1]
    header = source.header(source.refs()[1])
    assert header.sources["config"] == "../config.json"
    assert "described by ../config.json, outside its own folder" in header.notices
    (alone,) = find_source(str(run / "checkpoint_1")).refs()
    whole = find_source(str(llama))
    assert state_digest(find_source(str(run / "checkpoint_1")).open(alone)) == state_digest(
        whole.open(whole.refs()[0])
    )


def test_a_configuration_without_weights(llama):
    (llama / "model.safetensors").unlink()
    assert reason_at(llama).startswith(
        f"{llama}: config.json without weights; expected one of model.safetensors"
    )


def test_shards_without_their_index(llama):
    os.rename(llama / "model.safetensors", llama / "model-00001-of-00002.safetensors")
    assert "1 shard (model-00001-of-00002.safetensors) without model.safetensors.index.json" in reason_at(
        llama
    )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_links_that_lead_nowhere_are_named(llama, name):
    (llama / name).unlink()
    (llama / name).symlink_to("gone")
    assert reason_at(llama) == f"{llama / name}: a link that leads nowhere; expected a file. Copy it again"


@pytest.mark.parametrize("place", [".", "checkpoints"])
def test_lightning_is_told_apart(tmp_path, place):
    file = tmp_path / place / "epoch=0-step=100.ckpt"
    file.parent.mkdir(exist_ok=True)
    state = {"model.lm_head.weight": torch.ones(2, 2)}
    torch.save({"epoch": 0, "pytorch-lightning_version": "2.5", "state_dict": state}, file)
    for given in (tmp_path, file):
        found = reason_at(given)
        assert found.startswith(
            f"{file}: a checkpoint of PyTorch Lightning, whose entry state_dict holds the"
        )
        assert "torch.load('epoch=0-step=100.ckpt'" in found


def test_another_ckpt_is_not_called_lightnings(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    (tmp_path / "b.ckpt").write_bytes(b"no zip")
    assert "Lightning" not in reason_at(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_may_not_be_read_is_no_damage(llama, monkeypatch, name):
    """Refused by hand: tests may run as somebody who may read everything."""
    opened = os.open

    def refuse(path, *arguments, **settings):
        if str(path) == str(llama / name):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **settings)

    monkeypatch.setattr(os, "open", refuse)
    assert reason_at(llama) == f"{llama / name}: cannot be read: Permission denied; make it readable"


def test_an_unreadable_file_of_llm_c_is_still_one(tmp_path, monkeypatch):
    llmc.write(random_model({"model_type": "gpt2", **CONFIGS["gpt2"]}), tmp_path / "model_00000001.bin")

    def refuse(path, *arguments, **settings):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert [ref.step for ref in LlmcFormat().find(str(tmp_path)).refs()] == [1]


def test_an_archive_of_spectra_is_told_from_a_checkpoint(tmp_path):
    file = tmp_path / "a.spectra.h5"
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    assert f"`spectra show {file}`" in reason_at(file)
    (tmp_path / "notes.txt").write_text("no archive")
    assert "Expected one of" in reason_at(tmp_path / "notes.txt")
