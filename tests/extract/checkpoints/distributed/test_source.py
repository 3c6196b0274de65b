import json
import os
import pickle
import re
import struct
import subprocess
import sys

import pytest
import torch
from torch.distributed.checkpoint.filesystem import SerializationFormat
from transformers import LlamaConfig, LlamaForCausalLM

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.distributed.source import DistributedFormat
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.digest import state_digest
from spectra_cli.extract.models.registry import find_family
from tests.extract.writers.distributed import save

CPU = torch.device("cpu")
TOKENS = torch.arange(12).reshape(2, 6)


def _only(path):
    source = find_source(str(path))
    (ref,) = source.refs()
    return source, ref


def _logits(path):
    source, ref = _only(path)
    header, state = source.header(ref), source.open(ref)
    assert {n: (h.shape, h.dtype) for n, h in header.tensors.items()} == {
        n: (tuple(t.shape), t.dtype) for n, t in state.items()
    }
    model = find_family(header).build(header, state, device=CPU)
    with torch.inference_mode():
        return header, model, model.head(model.trunk(TOKENS))


def _expected(llama):
    with torch.inference_mode():
        return llama(TOKENS).logits


@pytest.mark.parametrize("form", ["torch_save", "safetensors"])
@pytest.mark.parametrize("threads", [1, 3])
def test_trainer_layout_gives_the_writers_logits(tmp_path, llama, form, threads):
    folder = tmp_path / "run" / "checkpoint-500"
    serialization = {"serialization_format": SerializationFormat(form), "thread_count": threads}
    save({"model": llama.state_dict()}, folder / "pytorch_model_fsdp_0", **serialization)
    optimizer = torch.optim.AdamW(llama.parameters())
    save({"optimizer": optimizer.state_dict()}, folder / "optimizer_0")
    llama.config.save_pretrained(tmp_path / "run")
    (folder / "trainer_state.json").write_text(
        json.dumps({"global_step": 500, "num_input_tokens_seen": 640, "log_history": []})
    )
    header, model, logits = _logits(tmp_path / "run")
    assert (header.ref.step, header.ref.format, header.tokens_seen) == (500, "distributed", 640)
    assert header.sources["config"] == "../config.json"
    assert "described by ../config.json, outside its own folder" in header.notices
    assert header.sources["tokens_seen"] == "trainer_state.json"
    assert header.stated_step == 500
    assert header.num_bytes == sum(t.nbytes for t in llama.state_dict().values())
    assert (model.family, model.recognised) == ("llama", True)
    torch.testing.assert_close(logits, _expected(llama), rtol=0, atol=1e-5)


@pytest.mark.parametrize("given", [".", "pytorch_model_fsdp_0"])
def test_one_checkpoint_by_its_folder_or_its_shards(tmp_path, llama, given):
    save({"model": llama.state_dict()}, tmp_path / "checkpoint-3" / "pytorch_model_fsdp_0")
    llama.config.save_pretrained(tmp_path / "checkpoint-3")
    source, ref = _only(tmp_path / "checkpoint-3" / given)
    assert (ref.step, source.run) == (3, "checkpoint-3")
    same = source.header(ref).same_values
    assert same("lm_head.weight", "lm_head.weight")
    assert not same("lm_head.weight", "model.embed_tokens.weight")
    assert state_digest(source.open(ref)) == state_digest(llama.state_dict())


def test_optimizer_entries_are_counted_and_named(tmp_path, llama):
    optimizer = torch.optim.SGD(llama.parameters(), lr=0.1, momentum=0.9)
    llama(TOKENS, labels=TOKENS).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    state = {
        "app": {"model": llama.state_dict(), "optimizer": optimizer.state_dict()},
        "lr_scheduler": {"last_epoch": 4},
        "train_state": {"step": torch.tensor(7), "ntokens_seen": torch.tensor(4096)},
    }
    save(state, tmp_path / "step-7")
    llama.config.save_pretrained(tmp_path)
    header, _, logits = _logits(tmp_path)
    torch.testing.assert_close(logits, _expected(llama), rtol=0, atol=1e-5)
    assert header.tokens_seen == 4096
    assert header.sources["tokens_seen"] == "train_state.ntokens_seen"
    notices = " / ".join(header.notices)
    assert "the model is what was saved as app.model" in notices
    assert "1 of lr_scheduler, 2 of train_state" in notices
    # a momentum of each parameter, and the settings of one group
    assert int(re.search(r"(\d+) of app", notices)[1]) > len(list(llama.parameters()))


@pytest.fixture
def counted(tmp_path, llama):
    """Write a step with this count of tokens in a shard of its own; the source, its checkpoint, the shard."""

    def write(count):
        state = {"model": llama.state_dict(), "train_state": {"ntokens_seen": count}}
        save(state, tmp_path / "step-7", thread_count=40)
        llama.config.save_pretrained(tmp_path)
        source, ref = _only(tmp_path)
        metadata = pickle.loads((tmp_path / "step-7" / ".metadata").read_bytes())  # noqa: S301 - written above
        placed = {index.fqn: info.relative_path for index, info in metadata.storage_data.items()}
        shard = placed.pop("train_state.ntokens_seen")
        assert shard not in placed.values()
        return source, ref, tmp_path / "step-7" / shard

    return write


def test_the_shard_of_the_tokens_is_checked_too(counted, tmp_path):
    source, ref, shard = counted(torch.tensor(4096))
    assert source.header(ref).tokens_seen == 4096
    content = shard.read_bytes()
    shard.rename(tmp_path / "outside")
    shard.symlink_to(tmp_path / "outside")
    with pytest.raises(CheckpointError, match=rf"{shard.name}: a link to \S+outside, outside the folder"):
        source.header(ref)
    shard.unlink()
    shard.write_bytes(content[:-5])
    with pytest.raises(CheckpointError, match=rf"{shard.name}: {len(content) - 5} bytes, but the metadata"):
        source.header(ref)


def test_less_than_no_tokens(counted):
    source, ref, _ = counted(torch.tensor(-1))
    with pytest.raises(CheckpointError, match=r"train_state\.ntokens_seen is -1"):
        source.header(ref)


def test_tokens_in_a_tensor_of_floats_are_no_count(counted):
    source, ref, _ = counted(torch.tensor(float("inf")))
    assert source.header(ref).tokens_seen is None


@pytest.mark.parametrize("prefix", ["model.", "app.model.", "module.", "model._orig_mod."])
def test_prefixes_written_into_the_names(tmp_path, llama, prefix):
    save({prefix + name: tensor for name, tensor in llama.state_dict().items()}, tmp_path / "step-1")
    llama.config.save_pretrained(tmp_path)
    source, ref = _only(tmp_path)
    assert set(source.header(ref).tensors) == set(llama.state_dict())


def test_series_in_order_with_unfinished_steps(tmp_path, llama):
    run = tmp_path / "outputs"
    for step in (100, 20, 3):
        save(llama.state_dict(), run / "checkpoint" / f"step-{step}")
    (run / "checkpoint" / "step-20" / ".metadata").unlink()
    llama.config.save_pretrained(run)
    source = find_source(str(run))
    assert [ref.step for ref in source.refs()] == [3, 20, 100]
    with pytest.raises(CheckpointError, match=r"step-20: no \.metadata, which is written last"):
        source.header(source.refs()[1])
    assert source.header(source.refs()[2]).tensors


def test_nanogpt_names_go_to_the_nanogpt_family(tmp_path, decoder_state):
    state = decoder_state("n")
    save({"model": state}, tmp_path / "step-5")
    (tmp_path / "args.json").write_text('{"n_head": 4}')
    header, model, _ = _logits(tmp_path)
    assert (header.layout, model.family) == ("nanogpt", "nanogpt")
    assert header.sources["config"] == "../args.json"


def test_torch_pickled_dtype_is_kept(tmp_path, llama):
    state = {name: t.to(torch.bfloat16) for name, t in llama.state_dict().items()}
    save(state, tmp_path / "step-1")
    llama.config.save_pretrained(tmp_path)
    source, ref = _only(tmp_path)
    assert state_digest(source.open(ref)) == state_digest(state)


def test_unknown_model_says_what_to_put_where(tmp_path):
    save({"encoder.weight": torch.ones(2, 2)}, tmp_path / "step-1")
    source, ref = _only(tmp_path)
    with pytest.raises(CheckpointError, match=r"no config\.json with a model_type .* encoder\.weight"):
        source.header(ref)


def test_two_models_are_not_guessed_between(tmp_path):
    save({"model": {"a": torch.ones(2)}, "teacher": {"model": {"a": torch.ones(2)}}}, tmp_path / "step-1")
    source, ref = _only(tmp_path)
    with pytest.raises(CheckpointError, match=r"no one group of tensors is the model: model, teacher\.model"):
        source.header(ref)


def test_missing_and_short_shards(tmp_path, llama):
    save(llama.state_dict(), tmp_path / "step-1", thread_count=2)
    llama.config.save_pretrained(tmp_path)
    source, ref = _only(tmp_path)
    shard = sorted((tmp_path / "step-1").glob("*.distcp"))[-1]
    content = shard.read_bytes()
    shard.write_bytes(content[:-50])
    for read in (source.header, source.open):
        with pytest.raises(
            CheckpointError, match=rf"{shard.name}: {len(content) - 50} bytes, but the metadata"
        ):
            read(ref)
    shard.unlink()
    for read in (source.header, source.open):
        with pytest.raises(CheckpointError, match=f"1 of 2 shards is missing: {shard.name}"):
            read(ref)


def test_metadata_with_a_reducer_is_refused_and_not_run(tmp_path, llama, bomb):
    trap, target = bomb
    save(llama.state_dict(), tmp_path / "step-1")
    llama.config.save_pretrained(tmp_path)
    (tmp_path / "step-1" / ".metadata").write_bytes(pickle.dumps(trap))
    source, ref = _only(tmp_path)
    for read in (source.header, source.open):
        with pytest.raises(UnsafePickleError, match=r"\.metadata: needs builtins\.eval.*Nothing"):
            read(ref)
    assert not target.exists()


def test_safetensors_header_that_claims_more_than_the_file(tmp_path, llama):
    save(llama.state_dict(), tmp_path / "step-1", serialization_format=SerializationFormat.SAFETENSORS)
    llama.config.save_pretrained(tmp_path)
    (shard,) = (tmp_path / "step-1").glob("*.distcp")
    shard.write_bytes(struct.pack("<Q", 2**40) + shard.read_bytes()[8:])
    source, ref = _only(tmp_path)
    with pytest.raises(CheckpointError, match="a header of 1099511627776 bytes is claimed"):
        source.open(ref)


def test_weights_beside_shards_are_another_format(tmp_path, llama):
    llama.save_pretrained(tmp_path / "checkpoint-1")
    save({"model": llama.state_dict()}, tmp_path / "checkpoint-1" / "pytorch_model_fsdp_0")
    assert DistributedFormat().find(str(tmp_path)) is None
    assert find_source(str(tmp_path)).format == "huggingface"


def test_config_beside_the_shards_is_no_half_written_hugging_face_folder(tmp_path, llama):
    llama.config.save_pretrained(tmp_path / "checkpoint-1")
    save({"model": llama.state_dict()}, tmp_path / "checkpoint-1" / "pytorch_model_fsdp_0")
    assert find_source(str(tmp_path)).format == "distributed"


def test_tied_model_under_one_key(tmp_path):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    tied = LlamaForCausalLM(config)
    state = {name: tensor for name, tensor in tied.state_dict().items() if name != "lm_head.weight"}
    save({"model": state}, tmp_path / "step-1")
    config.save_pretrained(tmp_path)
    _, _, logits = _logits(tmp_path)
    torch.testing.assert_close(logits, _expected(tied), rtol=0, atol=1e-5)


@pytest.mark.parametrize("content", [(), ("config.json",), ("optimizer_0/.metadata",), ("step-1/x.pt",)])
def test_folders_of_another_kind(tmp_path, content):
    for name in content:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert DistributedFormat().find(str(tmp_path)) is None


_TWO_RANKS = """
import sys
import torch, torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor
from transformers import LlamaConfig, LlamaForCausalLM

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,))
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig.from_pretrained(folder))
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
columns = "model.layers.0.mlp.up_proj.weight"
state[columns] = distribute_tensor(state[columns].full_tensor(), mesh, [Shard(1)])
optimizer = torch.optim.AdamW(model.parameters())
model(torch.arange(6)[None]).logits.sum().backward()
optimizer.step()
dcp.save({"model": state, "optimizer": optimizer.state_dict()}, checkpoint_id=f"{folder}/step-1")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_of_fsdp(tmp_path):
    """Sharded by rows (unevenly: 31 of a vocabulary) and, one matrix, by columns."""
    config = LlamaConfig(
        vocab_size=31, hidden_size=16, intermediate_size=22, num_hidden_layers=2, num_attention_heads=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    torch.manual_seed(0)
    expected = {n: t.clone() for n, t in LlamaForCausalLM(config).state_dict().items()}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", _TWO_RANKS, str(rank), str(tmp_path)], env=environment)
        for rank in range(2)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    source, ref = _only(tmp_path)
    header, state = source.header(ref), source.open(ref)
    assert len(list((tmp_path / "step-1").glob("*.distcp"))) == 2
    assert state_digest(state) == state_digest(expected)
    assert len(header.tensors) == len(expected)
    assert "of optimizer" in " ".join(header.notices)
