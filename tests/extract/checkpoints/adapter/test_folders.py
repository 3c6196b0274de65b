"""Adapters in folders inside checkpoints: one series, with the steps and losses of the checkpoints."""

import json
import shutil

import pytest
import torch

from spectra_cli.extract.checkpoints.adapter.source import AdapterFormat
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.checkpoints.series.left_out import left_out
from spectra_cli.extract.digest import state_digest
from tests.extract.writers.adapters import adapt, bare_llama, lora


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A plain adapter over a base that it names."""
    root = tmp_path_factory.mktemp("written")
    adapt(bare_llama, lora(), root / "base", root / "adapter")
    return root / "adapter"


def put(adapter, *places):
    for place in places:
        shutil.copytree(adapter, place)


def trained(checkpoint, step):
    state = {
        "global_step": step,
        "num_input_tokens_seen": 10 * step,
        "log_history": [{"step": step, "loss": 2.5}],
    }
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))


def found_at(path):
    return [(ref.step, ref.label, ref.uri.removeprefix(f"{path}/")) for ref in find_source(str(path)).refs()]


@pytest.mark.parametrize("name", ["adapter", "default", "policy"])
def test_a_run_with_an_adapter_in_each_checkpoint(adapter, tmp_path, name):
    run = tmp_path / "run"
    for step in (1000, 500):
        put(adapter, run / f"checkpoint-{step}" / name)
        trained(run / f"checkpoint-{step}", step)
    assert found_at(run) == [(500, "", f"checkpoint-500/{name}"), (1000, "", f"checkpoint-1000/{name}")]
    source = find_source(str(run))
    assert source.run == "run"
    header = source.header(source.refs()[0])
    assert (header.tokens_seen, header.train_loss, header.stated_step) == (5000, 2.5, 500)
    alone = find_source(str(adapter))
    assert state_digest(source.open(source.refs()[0])) == state_digest(alone.open(alone.refs()[0]))
    assert left_out(str(run), source) == ()


def test_one_checkpoint_or_its_adapter_keeps_the_step(adapter, tmp_path):
    checkpoint = tmp_path / "run" / "checkpoint-500"
    put(adapter, checkpoint / "adapter")
    trained(checkpoint, 500)
    assert found_at(checkpoint) == [(500, "", "adapter")]
    assert [ref.step for ref in find_source(str(checkpoint / "adapter")).refs()] == [500]
    source = find_source(str(checkpoint / "adapter"))
    assert source.header(source.refs()[0]).train_loss == 2.5


def test_several_adapters_in_one_checkpoint_are_told_apart(adapter, tmp_path):
    run = tmp_path / "run"
    for step in (5, 10):
        put(adapter, *(run / f"checkpoint-{step}" / name for name in ("reference", "train")))
    refs = find_source(str(run)).refs()
    assert [ref.key for ref in refs] == ["step5-reference", "step5-train", "step10-reference", "step10-train"]
    source = find_source(str(run))
    assert source.header(refs[0]).notices[0] == (
        "several adapters in one checkpoint, each read as a checkpoint of its own: reference, train; "
        "give the folder of one to read it alone"
    )


def test_an_adapter_beside_the_default_one(adapter, tmp_path):
    # as PEFT writes them: `default` into the checkpoint itself
    run = tmp_path / "run"
    put(adapter, run / "checkpoint-5", run / "checkpoint-5" / "other")
    assert [ref.key for ref in find_source(str(run)).refs()] == ["step5", "step5-other"]
    assert [ref.key for ref in find_source(str(run / "checkpoint-5")).refs()] == ["step5", "step5-other"]


def test_a_run_that_is_named_like_a_step(adapter, tmp_path):
    run = tmp_path / "step100-run"
    put(adapter, run / "checkpoint-5" / "adapter", run / "last")
    assert [step for step, _, _ in found_at(run)] == [5, None]


def test_a_final_adapter_beside_the_checkpoints(adapter, tmp_path):
    run = tmp_path / "run"
    put(adapter, run, run / "checkpoint-5" / "adapter")
    assert [ref.key for ref in find_source(str(run)).refs()] == ["step5-adapter", "nostep-final"]
    put(adapter, run / "last")
    assert found_at(run)[1:] == [(None, "", "last"), (None, "final", str(run))]


def test_adapters_inside_whole_models_are_not_read(adapter, tmp_path):
    checkpoint = tmp_path / "run" / "checkpoint-5"
    bare_llama().save_pretrained(checkpoint)
    put(adapter, checkpoint / "adapter")
    assert AdapterFormat().find(str(tmp_path / "run")) is None
    assert find_source(str(tmp_path / "run")).format == "huggingface"


@pytest.mark.parametrize("place", [".", "adapter"])
def test_adapters_beside_the_shards_of_deepspeed(adapter, tmp_path, place):
    checkpoint = tmp_path / "run" / "checkpoint-5"
    put(adapter, checkpoint / place)
    shards = checkpoint / "global_step5"
    shards.mkdir()
    torch.save({}, shards / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    (ref,) = find_source(str(tmp_path / "run")).refs()
    assert (ref.format, ref.step) == ("adapter", 5)
