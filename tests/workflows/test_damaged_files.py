"""Every format with each of its files damaged in every way: an error that names the file, and no other, and
the same one at `inspect` and at `scan`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint.filesystem import SerializationFormat

from spectra_cli.core.errors import SpectraError
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.checkpoints.huggingface.source import HuggingFaceSource
from spectra_cli.workflows.inspect import inspect
from spectra_cli.workflows.scan import scan
from tests.extract.writers import adapters, decoder, gguf, llmc, nanochat, torchtitan
from tests.extract.writers.distributed import save
from tests.extract.writers.huggingface import CONFIGS, random_model

SETTINGS = ScanSettings(measurements=("weight",), layers="0", matrices=("attn.q",))
SECONDS = 60  # until a reader that waits for a pipe fails


def tiny(name="llama"):
    return random_model({"model_type": name, **CONFIGS[name]})


def huggingface(folder: Path) -> None:
    tiny().save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    state = {"global_step": 3, "num_input_tokens_seen": 30, "log_history": [{"step": 3, "loss": 2.0}]}
    (folder / "trainer_state.json").write_text(json.dumps(state))


def sharded(folder: Path) -> None:
    module = tiny()
    module.config.save_pretrained(folder)
    state = module.state_dict()
    placed = {name: f"model-{i % 2 + 1:05}-of-00002.safetensors" for i, name in enumerate(state)}
    for shard in set(placed.values()):
        save_file({name: state[name] for name in state if placed[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))


def pytorch_bin(folder: Path) -> None:
    module = tiny()
    module.config.save_pretrained(folder)
    torch.save(module.state_dict(), folder / "pytorch_model.bin")


def paper(folder: Path) -> None:
    torch.save({"model": decoder.random_state("6"), "step": 1}, folder / "checkpoint_step000001.pt")
    (folder / "args.json").write_text('{"n_head": 4}')


def legacy(folder: Path) -> None:
    content = {"model": decoder.random_state("n"), "model_args": {"n_head": 4}, "iter_num": 3}
    torch.save(content, folder / "ckpt.pt", _use_new_zipfile_serialization=False)


def chat(folder: Path) -> None:
    torch.save(nanochat.tensors("original"), folder / "model_000001.pt")
    meta = {"step": 1, "model_config": nanochat.ARGUMENTS}
    (folder / "meta_000001.json").write_text(json.dumps(meta))


def lora(folder: Path) -> None:
    # the base is named by its absolute path
    adapters.adapt(adapters.bare_llama, adapters.lora(), folder.parent / "base", folder)


def distributed(folder: Path) -> None:
    module = tiny()
    save({"model": module.state_dict()}, folder / "step-1")
    module.config.save_pretrained(folder / "step-1")
    (folder / "step-1" / "generation_config.json").unlink(missing_ok=True)


def distributed_safetensors(folder: Path) -> None:
    save(torchtitan.tensors(), folder / "step-1", serialization_format=SerializationFormat.SAFETENSORS)
    facts = {"n_heads": torchtitan.HEADS, "rope_theta": torchtitan.THETA, "norm_eps": torchtitan.EPS}
    (folder / "step-1" / "params.json").write_text(json.dumps(facts))


def llama_cpp(folder: Path) -> None:
    gguf.write_llama(gguf.make_llama(), folder / "tiny.gguf")


def llm_c(folder: Path) -> None:
    llmc.write(tiny("gpt2"), folder / "model_00000001.bin")


FORMATS: dict[Callable[[Path], None], tuple[str, ...]] = {
    huggingface: ("config.json", "model.safetensors", "trainer_state.json"),
    sharded: ("model.safetensors.index.json", "model-00002-of-00002.safetensors"),
    pytorch_bin: ("pytorch_model.bin",),
    paper: ("args.json", "checkpoint_step000001.pt"),
    legacy: ("ckpt.pt",),
    chat: ("meta_000001.json", "model_000001.pt"),
    lora: ("adapter_config.json", "adapter_model.safetensors"),
    distributed: ("step-1/config.json", "step-1/.metadata", "step-1/__0_0.distcp"),
    distributed_safetensors: ("step-1/params.json", "step-1/__0_0.distcp"),
    llama_cpp: ("tiny.gguf",),
    llm_c: ("model_00000001.bin",),
}
CASES = [(make, name) for make, names in FORMATS.items() for name in names]


# ----------------------------------------------------------------------------- the ways to damage a file


def cut(length: Callable[[int], int]) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, length(path.stat().st_size))


def filled(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def with_numbers(value: str) -> Callable[[Path], None]:
    """Every number of a JSON file replaced."""

    def marked(content: object) -> object:
        if isinstance(content, dict):
            return {name: marked(value) for name, value in content.items()}
        if isinstance(content, list):
            return [marked(value) for value in content]
        return "@" if type(content) in (int, float) else content

    def damage(path: Path) -> None:
        path.write_text(json.dumps(marked(json.loads(path.read_text()))).replace('"@"', value))

    return damage


DAMAGE = {
    "empty": cut(lambda size: 0),
    "a byte": cut(lambda size: 1),
    "half": cut(lambda size: size // 2),
    "all but two bytes": cut(lambda size: size - 2),
    "bytes": filled(bytes(range(256)) * 20),
    "no UTF-8": filled(b'{"a": "\xff\xe9"}'),
    "null": filled(b"null"),
    "objects in objects": filled(b'{"a":' * 100_000),
    "lists in lists": filled(b"[" * 100_000),
    "a number of 5000 digits": filled(b'{"a": ' + b"9" * 5000 + b"}"),
    "folder": replaced(Path.mkdir),
    "broken link": replaced(lambda path: path.symlink_to("nowhere")),
    "link to itself": replaced(lambda path: path.symlink_to(path.name)),
    "pipe": replaced(os.mkfifo),
}
NUMBERS = {
    "numbers of 4000 digits": with_numbers("9" * 4000),
    "numbers of 64 bits": with_numbers(str(2**63)),
    "negative numbers": with_numbers("-1"),
    "infinite numbers": with_numbers("1e999"),
    "no numbers": with_numbers("NaN"),
    "lists for numbers": with_numbers("[1]"),
}


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"still reading after {seconds} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def inspect_and_scan(folder: Path, output: Path) -> list[SpectraError | None]:
    """The errors with which `inspect` and `scan` of a folder end."""

    def inspected() -> None:
        if (
            refusal := inspect(ScanRequest(checkpoints=str(folder), settings=SETTINGS)).refusal(
                skip_errors=False
            )
        ) is not None:
            raise refusal

    def scanned() -> None:
        scan(ScanRequest(checkpoints=str(folder), settings=SETTINGS, output=output), lambda _: None)

    ends: list[SpectraError | None] = []
    for command in (inspected, scanned):
        try:
            with no_longer_than(SECONDS):
                command()
            ends.append(None)
        except SpectraError as error:
            ends.append(error)
    return ends


def read(folder: Path, output: Path) -> None:
    """All that `inspect` and `scan` do with a folder."""
    for error in inspect_and_scan(folder, output):
        if error is not None:
            raise error


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Callable[[Callable[[Path], None]], Path]:
    """Writes each format once."""
    root = tmp_path_factory.mktemp("healthy")

    def written(make: Callable[[Path], None]) -> Path:
        folder = root / make.__name__
        if not folder.exists():
            folder.mkdir()
            make(folder)
        return folder

    return written


def test_the_files_are_readable_without_damage(healthy, tmp_path):
    for make, names in FORMATS.items():
        assert all((healthy(make) / name).is_file() for name in names)
        read(healthy(make), tmp_path / f"{make.__name__}.h5")


@pytest.mark.parametrize(("make", "name"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_damage_is_an_error_with_the_path(make, name, healthy, tmp_path):
    missed = []
    has_numbers = name.endswith(".json") and "index" not in name
    for way, damage in (DAMAGE | (NUMBERS if has_numbers else {})).items():
        run = tmp_path / way.replace(" ", "-")
        shutil.copytree(healthy(make), run)
        damage(run / name)
        inspected, scanned = inspect_and_scan(run, tmp_path / "out.h5")
        if scanned is None or str(run) not in str(scanned):
            missed.append(f"{way}: {scanned}")
        if (type(inspected), str(inspected)) != (type(scanned), str(scanned)):
            missed.append(f"{way}: inspect says {inspected}, scan says {scanned}")
    assert not missed


@pytest.mark.parametrize(("make", "name"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_file_that_may_not_be_read(make, name, healthy, tmp_path, monkeypatch):
    """Refused by hand: tests may run as somebody who may read everything."""
    run = tmp_path / "run"
    shutil.copytree(healthy(make), run)
    refused = []

    def refusing(opened):
        def refuse(file, *arguments, **settings):
            if str(file) == str(run / name):
                refused.append(file)
                raise PermissionError(13, "Permission denied", str(file))
            return opened(file, *arguments, **settings)

        return refuse

    for place in ("builtins.open", "io.open", "os.open"):
        module, _, function = place.rpartition(".")
        monkeypatch.setattr(place, refusing(getattr(sys.modules[module], function)))
    with pytest.raises(SpectraError) as caught:
        read(run, tmp_path / "out.h5")
    assert refused
    assert f"{run / name}: cannot be read: Permission denied; make it readable" in str(caught.value)
    assert "copy" not in str(caught.value)


# ----------------------------------------------------------------------------- half-written and changing sets


def test_a_truncated_shard_among_whole_ones(healthy, tmp_path):
    run = tmp_path / "run"
    for step in (1, 2):
        shutil.copytree(healthy(sharded), run / f"checkpoint-{step}")
    shard = run / "checkpoint-2" / "model-00002-of-00002.safetensors"
    os.truncate(shard, shard.stat().st_size - 100)
    first, second = inspect(ScanRequest(checkpoints=str(run), settings=SETTINGS)).checkpoints
    assert not first.problem
    assert second.problem.startswith(f"{shard}: tensor ")


def test_a_checkpoint_that_changes_while_it_is_read(healthy, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(healthy(huggingface), run)
    opened = HuggingFaceSource.open

    def changing(source, ref):
        state = opened(source, ref)
        os.utime(run / "model.safetensors", ns=(1, 1))
        return state

    monkeypatch.setattr(HuggingFaceSource, "open", changing)
    with pytest.raises(SpectraError, match="it changed while it was being read"):
        read(run, tmp_path / "out.h5")
