"""Files beside the checkpoints: those that look like weights are named."""

import shutil

import pytest
import torch

from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.checkpoints.series.left_out import left_out


def notices_of(folder):
    return left_out(str(folder), find_source(str(folder)))


def save(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"w": torch.ones(2)}, file)


def test_files_of_other_names_and_folders_beside_a_nanogpt_run(tmp_path):
    save(tmp_path / "ckpt.pt", tmp_path / "best.pt", tmp_path / "ema.PTH", tmp_path / "older" / "ckpt.pt")
    save(tmp_path / "optimizer.pt", tmp_path / ".cache" / "ckpt.pt", tmp_path / "wandb" / "x" / "ckpt.pt")
    (tmp_path / "README.md").write_text("")
    (tmp_path / "val.bin").write_bytes(b"")
    files, folders = notices_of(tmp_path)
    remedy = "give the path of one to scan it"
    assert files == f"not named as nanogpt checkpoints, and not read: best.pt, ema.PTH; {remedy}"
    series = "folders beside the nanogpt checkpoints, each a series by itself, and not read: older/"
    assert folders == f"{series}; {remedy}"
    assert left_out(str(tmp_path / "ckpt.pt"), find_source(str(tmp_path / "ckpt.pt"))) == ()


def test_the_subfolder_of_a_run(tmp_path):
    save(tmp_path / "checkpoints" / "ckpt_5.pt", tmp_path / "checkpoints" / "probe.pt")
    (notice,) = notices_of(tmp_path)
    assert "not read: checkpoints/probe.pt;" in notice
    save(tmp_path / "ckpt.pt")
    (notice,) = notices_of(tmp_path)
    assert (
        "folders beside the nanogpt checkpoints, each a series by itself, and not read: checkpoints/"
        in notice
    )


@pytest.fixture
def trainer_run(tmp_path, llama):
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        llama.save_pretrained(folder)
        save(*(folder / name for name in ("optimizer.pt", "scheduler.pt", "rng_state_0.pth")))
        (folder / "training_args.bin").write_bytes(b"")
    return tmp_path


def test_what_a_trainer_writes_is_no_checkpoint_left_out(trainer_run):
    save(trainer_run / "training_args.bin")
    (trainer_run / "runs").mkdir()
    assert notices_of(trainer_run) == ()
    assert notices_of(trainer_run / "checkpoint-5") == ()
    save(trainer_run / "export" / "gpt.pt", trainer_run / "adapter.safetensors")
    first, second = notices_of(trainer_run)
    assert "not named as huggingface checkpoints, and not read: adapter.safetensors;" in first
    assert "not read: export/;" in second


def test_other_weights_inside_a_checkpoint(trainer_run):
    folder = trainer_run / "checkpoint-5"
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    (notice,) = notices_of(folder)
    assert "not read: consolidated.safetensors;" in notice


def test_long_lists_are_cut(tmp_path):
    save(tmp_path / "ckpt.pt", *(tmp_path / f"epoch{n}.pt" for n in range(12)))
    (notice,) = notices_of(tmp_path)
    assert notice.endswith("epoch5.pt and 4 more; give the path of one to scan it")
