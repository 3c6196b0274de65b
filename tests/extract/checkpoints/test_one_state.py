"""A checkpoint whose files are replaced or cut while it is read is all old, all new, or an error."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.extract.checkpoints.seams import read_with_seams
from tests.extract.writers import adapters, decoder, float8, gguf, llmc, nanochat, torchtitan
from tests.extract.writers.distributed import save
from tests.extract.writers.huggingface import CONFIGS, random_model

# of the old checkpoint and of the one that takes its place; all else about them is alike
LOSS, RATE, FACTOR = (3.5, 2.5), (0.1, 0.2), (1.0, 2.0)


def scaled(model, new):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(FACTOR[new])
    return model


def trainer_state(folder, new):
    entry = {"step": 5, "loss": LOSS[new], "eval_loss": LOSS[new], "learning_rate": RATE[new]}
    state = {"global_step": 5, "num_input_tokens_seen": 50 + 50 * new, "log_history": [entry]}
    (folder / "trainer_state.json").write_text(json.dumps(state))


def tiny(new, name="llama"):
    torch.manual_seed(0)
    return scaled(random_model({"model_type": name, **CONFIGS[name]}), new)


def huggingface(folder, new):
    tiny(new).save_pretrained(folder / "checkpoint-5")
    trainer_state(folder / "checkpoint-5", new)


def huggingface_pickled(folder, new):
    model = tiny(new)
    model.config.rms_norm_eps = 1e-5 * FACTOR[new]
    model.config.save_pretrained(folder / "checkpoint-5")
    torch.save(model.state_dict(), folder / "checkpoint-5" / "pytorch_model.bin")
    trainer_state(folder / "checkpoint-5", new)


def huggingface_sharded(folder, new):
    tiny(new).save_pretrained(folder / "checkpoint-5", max_shard_size="40KB")
    trainer_state(folder / "checkpoint-5", new)
    assert len(list((folder / "checkpoint-5").glob("*.safetensors"))) > 1


def pickled_in_shards(folder, new):
    state = tiny(new).state_dict()
    tiny(new).config.save_pretrained(folder / "checkpoint-5")
    placed = {name: f"pytorch_model-{i % 2 + 1:05}-of-00002.bin" for i, name in enumerate(state)}
    for shard in set(placed.values()):
        torch.save({n: t for n, t in state.items() if placed[n] == shard}, folder / "checkpoint-5" / shard)
    index = folder / "checkpoint-5" / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": placed}))
    trainer_state(folder / "checkpoint-5", new)


def in_8_bits(folder, new):
    model, block = tiny(new), (16, 16)
    said = {"quant_method": "fp8", "weight_block_size": block, "activation_scheme": "dynamic"}
    (folder / "checkpoint-5").mkdir()
    config = json.dumps(model.config.to_dict() | {"quantization_config": said})
    (folder / "checkpoint-5" / "config.json").write_text(config)
    torch.save(
        float8.quantised(model, "block", block=block)[0], folder / "checkpoint-5" / "pytorch_model.bin"
    )
    trainer_state(folder / "checkpoint-5", new)


def torchtitan_folder(folder, new):
    state = {name: tensor * FACTOR[new] for name, tensor in torchtitan.tensors().items()}
    save(state, folder / "checkpoint" / "step-5")
    told = torchtitan.PARAMETERS | {"norm_eps": torchtitan.EPS * FACTOR[new]}
    (folder / "checkpoint" / "params.json").write_text(json.dumps(told))


def nanogpt(folder, new, *, zipped=True):
    torch.manual_seed(0)
    state = {name: tensor * FACTOR[new] for name, tensor in decoder.random_state("n").items()}
    # a file whose loss is its own, as this project's trainer writes it
    content = {"step": 5, "model": state, "val_loss": torch.tensor(LOSS[new]), "val_loss_step": 5}
    content |= {"args": {"n_head": 4, "total_batch_size": 8}, "scheduler": {}}
    content["optimizer"] = {"param_groups": [{"lr": RATE[new]}], "state": {0: torch.ones(99)}}
    torch.save(content, folder / "ckpt.pt", _use_new_zipfile_serialization=zipped)


def nanogpt_legacy(folder, new):
    nanogpt(folder, new, zipped=False)


def nanogpt_of_another_step(folder, new):
    torch.manual_seed(0)
    content = {"model": decoder.random_state("n"), "model_args": {"n_head": 4}, "iter_num": 5 + 5 * new}
    torch.save(content, folder / "ckpt.pt")


def nanochat_folder(folder, new):
    torch.manual_seed(0)
    state = {name: tensor * FACTOR[new] for name, tensor in nanochat.tensors("original").items()}
    torch.save(state, folder / "model_000005.pt")
    meta = {"step": 5, "val_loss": LOSS[new], "model_config": nanochat.ARGUMENTS}
    (folder / "meta_000005.json").write_text(json.dumps(meta))


def distributed(folder, new):
    model = tiny(new)
    save({"model": model.state_dict()}, folder / "step-5")
    model.config.save_pretrained(folder / "step-5")
    trainer_state(folder / "step-5", new)


def gguf_file(folder, new):
    gguf.write_llama(scaled(gguf.make_llama(rms_norm_eps=1e-5 * FACTOR[new]), new), folder / "a.gguf")


def llmc_file(folder, new):
    llmc.write(tiny(new, "gpt2"), folder / "model_00000005.bin")
    (folder / "main.log").write_text(f"s:5 tel:{LOSS[new]}\n")


def adapter(folder, new):
    model = adapters.adapt(adapters.bare_llama, adapters.lora(), folder / "base", folder / "checkpoint-5")
    scaled(model, new).save_pretrained(folder / "checkpoint-5")
    trainer_state(folder / "checkpoint-5", new)


FORMATS = {
    build.__name__: build
    for build in (
        *(huggingface, huggingface_pickled, nanogpt, nanogpt_legacy, nanogpt_of_another_step),
        *(nanochat_folder, distributed, gguf_file, llmc_file, adapter),
        *(huggingface_sharded, pickled_in_shards, in_8_bits, torchtitan_folder),
    )
}
SUBFOLDER = {"adapter": "checkpoint-5"}
MOST_SEAMS = 6


@pytest.fixture(scope="module", params=FORMATS)
def both(request, tmp_path_factory):
    """Folders with the old and with the new checkpoint, and the path to read inside them."""
    folders = []
    for new in (0, 1):
        folder = tmp_path_factory.mktemp(f"state{new}") / "run"
        folder.mkdir()
        FORMATS[request.param](folder, new)
        for file in folder.rglob("*"):
            os.utime(file, ns=(10**18, 10**18 + new))
        folders.append(folder)
    return *folders, SUBFOLDER.get(request.param, "")


def seams_of(path):
    """Some of the seams, the first and the last among them."""
    _, count = read_with_seams(path)
    assert count >= 3
    return np.unique(np.linspace(1, count, min(count, MOST_SEAMS)).round().astype(int)).tolist()


def put_in_place(new, run):
    for file in sorted(new.rglob("*")):
        if file.is_file():
            file.replace(run / file.relative_to(new))


@pytest.mark.parametrize("kept", ["", "meta"])
def test_a_checkpoint_replaced_at_any_seam(both, kept, tmp_path):
    """All of its files are, or all but what describes it."""
    old, new, inside = both
    run, pending = tmp_path / "run", tmp_path / "pending"
    told = [read_with_seams(folder / inside)[0] for folder in (old, new)]
    assert told[0] != told[1]
    assert all(told)
    for at in seams_of(old / inside):
        for target, source in ((run, old), (pending, new)):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        for file in pending.rglob("*"):
            if file.is_file() and kept and file.suffix in (".json", ".log"):
                file.unlink()
        found, _ = read_with_seams(run / inside, at, lambda: put_in_place(pending, run))
        if kept:
            shutil.copytree(pending, run, dirs_exist_ok=True)
        assert found is None or found in [*told, read_with_seams(run / inside)[0]], at


def test_a_file_cut_at_any_seam_is_an_error(tmp_path_factory):
    """In a process of its own: a mapped file would end it."""
    arguments = []
    for name, build in FORMATS.items():
        folder = tmp_path_factory.mktemp(name) / "run"
        folder.mkdir()
        build(folder, 0)
        path = folder / SUBFOLDER.get(name, "")
        arguments.append(f"{path}:{','.join(map(str, seams_of(path)[-2:]))}")
    script = str(Path(__file__).with_name("seams.py"))
    found = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    lines = found.stdout.splitlines()
    assert len(lines) == sum(argument.count(",") + 1 for argument in arguments)
    assert [line for line in lines if not line.endswith(" an error")] == []
