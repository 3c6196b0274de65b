import json
import os

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.registry import FORMATS, find_source


@pytest.fixture(params=["huggingface", "nanogpt", "nanochat"])
def checkpoint(request, tmp_path, llama):
    """A folder with one checkpoint of each format."""
    folder = tmp_path / "run"
    if request.param == "huggingface":
        llama.save_pretrained(folder)
    elif request.param == "nanochat":
        folder.mkdir()
        torch.save({"w": torch.ones(2)}, folder / "model_000003.pt")
        (folder / "meta_000003.json").write_text('{"model_config": {}}')
    else:
        folder.mkdir()
        torch.save({"model": {"w": torch.ones(2)}, "step": 3}, folder / "checkpoint_step000003.pt")
    return request.param, folder


def test_every_format_keeps_its_contract(checkpoint):
    name, folder = checkpoint
    source = find_source(str(folder))
    assert source.format == name == FORMATS[name].name
    assert source.run == folder.name
    for ref in source.refs():
        header, state = source.header(ref), source.open(ref)
        assert (ref.format, ref.run) == (name, source.run)
        assert header.ref == ref
        assert {n: (h.shape, h.dtype) for n, h in header.tensors.items()} == {
            n: (tuple(tensor.shape), tensor.dtype) for n, tensor in state.items()
        }
        assert all(tensor.device.type == "cpu" for tensor in state.values())
        assert len(header.fingerprint) == 64


def test_relative_paths_are_taken_from_here(checkpoint, monkeypatch):
    _, folder = checkpoint
    monkeypatch.chdir(folder)
    assert find_source(".").refs() == find_source(str(folder)).refs()


def test_nothing_recognised_lists_folder_and_formats(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "logs").mkdir()
    with pytest.raises(CheckpointError, match=r"found logs/, notes\.txt") as caught:
        find_source(str(tmp_path))
    for form in FORMATS.values():
        assert f"{form.name}: {form.summary}" in str(caught.value)


def test_a_folder_of_runs_and_a_file_of_a_checkpoint_lead_to_the_folder(tmp_path, llama):
    for name in ("a", "b"):
        llama.save_pretrained(tmp_path / "runs" / name / "checkpoint-5")
    (tmp_path / "runs" / "logs").mkdir()
    runs = tmp_path / "runs"
    with pytest.raises(CheckpointError, match=f"runs of their own: give one of {runs}/a, {runs}/b$"):
        find_source(str(runs))
    folder = runs / "a" / "checkpoint-5"
    with pytest.raises(CheckpointError, match=f"a part of the checkpoint in {folder}: give the folder$"):
        find_source(str(folder / "model.safetensors"))


def test_two_formats_in_one_folder(tmp_path, llama):
    llama.save_pretrained(tmp_path)
    torch.save({"w": torch.ones(2)}, tmp_path / "ckpt.pt")
    with pytest.raises(
        CheckpointError, match=r"1 of format huggingface \(\.\) and 1 of format nanogpt \(ckpt\.pt\)"
    ):
        find_source(str(tmp_path))


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    """As an ordinary user meets it; the tests may run as root, whom nothing is forbidden."""
    closed = tmp_path / "run"
    closed.mkdir()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(f"os.{name}", refuse)
    with pytest.raises(
        CheckpointError, match=f"{closed} cannot be read: Permission denied; make it readable"
    ):
        find_source(str(closed))


def test_hub_names_and_missing_paths(tmp_path, monkeypatch, hub_cache):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"org/name@main: no such file.*hub"):
        find_source("org/name@main")
    with pytest.raises(CheckpointError, match="no such file") as caught:
        find_source(str(tmp_path / "absent"))
    assert "HF_HUB" not in str(caught.value)


def test_a_path_that_exists_is_not_taken_for_a_hub_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name@main").mkdir(parents=True)
    torch.save({"w": torch.ones(2)}, tmp_path / "org" / "name@main" / "ckpt.pt")
    assert find_source("org/name@main").run == "name@main"


def test_other_files(tmp_path):
    path = tmp_path / "probe.json"
    path.write_text(json.dumps([1]))
    with pytest.raises(CheckpointError, match="found a file of 3 bytes"):
        find_source(str(path))


def test_what_is_no_file_is_said(tmp_path):
    (tmp_path / "args.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / "model.bin")
    with pytest.raises(CheckpointError) as caught:
        find_source(str(tmp_path))
    found = "found args.json (a link that leads nowhere), model.bin (no regular file). Expected"
    assert found in str(caught.value)
