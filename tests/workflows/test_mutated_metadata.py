"""A setting changed at a time where it stands outside config.json: no traceback, and `inspect` ends as
`scan` does.

nanoGPT's `model_args`, nanochat's meta file, `adapter_config.json` and the metadata of a GGUF file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFValueType
from gguf.gguf_writer import GGUFValue

from tests.extract.writers import adapters, decoder, gguf, nanochat
from tests.workflows.test_mutated_configurations import REMOVED, VALUES, ends

Change = tuple[str, object, Callable[[], None]]
GGUF_VALUES = (
    (-1, GGUFValueType.INT32),
    (0, GGUFValueType.UINT32),
    (2**32 - 1, GGUFValueType.UINT32),
    (2**62, GGUFValueType.UINT64),
    (float("inf"), GGUFValueType.FLOAT32),
    (0.37, GGUFValueType.FLOAT32),
    ("x", GGUFValueType.STRING),
    ("", GGUFValueType.STRING),
    (True, GGUFValueType.BOOL),
    ([1], GGUFValueType.ARRAY),
)


def with_each_value(content: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> Iterator[Change]:
    """Each entry of `content` with each value, written when called."""
    for name in content:
        for value in VALUES:
            changed = {**content, name: value}
            if value is REMOVED:
                del changed[name]
            yield name, value, lambda changed=changed: write(changed)


def nanogpt(folder: Path) -> Iterator[Change]:
    state = decoder.random_state("n")
    arguments = {"n_head": 4, "n_layer": 3, "n_embd": 32, "block_size": 64, "bias": False}
    arguments |= {"vocab_size": 61, "dropout": 0.0}
    whole = {"model": state, "model_args": arguments, "iter_num": 3, "best_val_loss": 2.5}
    whole |= {"config": {"batch_size": 4, "block_size": 64, "gradient_accumulation_steps": 2}}

    def write(content: dict[str, Any]) -> None:
        torch.save(content, folder / "ckpt.pt")

    yield from with_each_value(arguments, lambda changed: write(whole | {"model_args": changed}))
    yield from with_each_value(
        {name: value for name, value in whole.items() if name != "model"},
        lambda changed: write({"model": state, **changed}),
    )
    yield from with_each_value(whole["config"], lambda changed: write(whole | {"config": changed}))


def chat(folder: Path) -> Iterator[Change]:
    generation = "smear"
    torch.save(nanochat.tensors(generation), folder / "model_000001.pt")
    whole = {"step": 1, "val_bpb": 1.5, "total_batch_size": 64, "user_config": {"depth": 3}}
    own = {**nanochat.ARGUMENTS, "window_pattern": "SL", "short_window": 8, "rotary_base": 1e4}
    own |= {"qk_scale": 1.0, "gate_scale": 2.0}

    def write(content: dict[str, Any]) -> None:
        (folder / "meta_000001.json").write_text(json.dumps(content))

    yield from with_each_value(own, lambda changed: write(whole | {"model_config": changed}))
    yield from with_each_value({**whole, "model_config": own}, write)


def lora(folder: Path) -> Iterator[Change]:
    adapters.adapt(adapters.bare_llama, adapters.lora(), folder.parent / "base", folder)
    path = folder / "adapter_config.json"
    content = json.loads(path.read_text())
    yield from with_each_value(content, lambda changed: path.write_text(json.dumps(changed)))


def llama_cpp(folder: Path) -> Iterator[Change]:
    names: list[str] = []

    def describe(writer: Any) -> None:
        writer.add_string("tokenizer.ggml.model", "gpt2")
        writer.add_token_list([f"t{i}" for i in range(64)])
        writer.add_eos_token_id(3)
        names.extend(writer.kv_data[0])

    def change(writer: Any, name: str, value: object, kind: GGUFValueType | None) -> None:
        describe(writer)
        if kind is None:
            del writer.kv_data[0][name]
        else:
            writer.kv_data[0][name] = GGUFValue(value=value, type=kind)

    model, path = gguf.make_llama(), folder / "m.gguf"
    gguf.write_llama(model, path, describe=describe)
    for name in dict.fromkeys(names):
        for value, kind in (*GGUF_VALUES, (REMOVED, None)):
            yield (
                name,
                value,
                lambda name=name, value=value, kind=kind: gguf.write_llama(
                    model, path, describe=lambda writer: change(writer, name, value, kind)
                ),
            )


FORMATS = (nanogpt, chat, lora, llama_cpp)


def differences(make: Callable[[Path], Iterator[Change]], folder: Path, *, every: int) -> list[str]:
    """The changes on which the two commands disagree; anything but a `SpectraError` ends the test."""
    folder.mkdir()
    wrong = []
    for number, (name, value, write) in enumerate(make(folder)):
        if number % every:
            continue
        write()
        inspected, scanned = ends(folder)
        if inspected != scanned:
            wrong.append(f"{name} = {value!r}: inspect ends with {inspected}, scan with {scanned}")
    return wrong


# a prime number, so that the values come in turns
@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__)
def test_some_mutations(make, tmp_path):
    assert not differences(make, tmp_path / "run", every=47)


@pytest.mark.exhaustive
@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__)
def test_every_mutation(make, tmp_path):
    assert not differences(make, tmp_path / "run", every=1)
