import json
import shutil

import pytest
import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from spectra_cli.core.errors import CheckpointError, UnsafePickleError
from spectra_cli.extract.checkpoints.huggingface.source import HuggingFaceFormat
from spectra_cli.extract.digest import state_digest


def _find(path):
    return HuggingFaceFormat().find(str(path))


def _only(path):
    source = _find(path)
    (ref,) = source.refs()
    return source, ref


def _trainer_state(folder, step):
    content = {"global_step": step, "num_input_tokens_seen": 10 * step, "log_history": []}
    (folder / "trainer_state.json").write_text(json.dumps(content))


@pytest.mark.parametrize("shard_size", ["1GB", "20KB"])
def test_safetensors_whole_and_sharded(tmp_path, llama, shard_size):
    llama.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (tmp_path / "model.safetensors").exists() == (shard_size == "1GB")
    source, ref = _only(tmp_path)
    header, state = source.header(ref), source.open(ref)
    expected = llama.state_dict()
    assert {name: (h.shape, h.dtype) for name, h in header.tensors.items()} == {
        name: (tuple(tensor.shape), tensor.dtype) for name, tensor in expected.items()
    }
    assert header.num_bytes == sum(tensor.nbytes for tensor in expected.values())
    assert header.config["model_type"] == "llama"
    assert state_digest(state) == state_digest(expected)
    assert (ref.key, ref.run, header.notices) == ("nostep", tmp_path.name, ())


@pytest.mark.parametrize("shards", [1, 2])
def test_bin_whole_and_sharded(tmp_path, llama, save_bin, shards):
    source, ref = _only(save_bin(tmp_path, shards=shards))
    assert set(source.header(ref).tensors) == set(llama.state_dict())
    assert state_digest(source.open(ref)) == state_digest(llama.state_dict())


def test_stored_dtype_is_kept(tmp_path, llama):
    state = {name: tensor.to(torch.bfloat16) for name, tensor in llama.state_dict().items()}
    llama.save_pretrained(tmp_path, state_dict=state)
    source, ref = _only(tmp_path)
    assert {h.dtype for h in source.header(ref).tensors.values()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in source.open(ref).values()} == {torch.bfloat16}


def test_children_under_every_name_in_order(tmp_path, llama):
    llama.save_pretrained(tmp_path / "rev-main")
    names = [
        *("checkpoint-500", "step7", "step_60", "global_step1000", "iter_0000020", "step-3", "rev-step9"),
        "epoch-two",
    ]
    for name in names:
        shutil.copytree(tmp_path / "rev-main", tmp_path / name)
    (tmp_path / "logs").mkdir()
    (tmp_path / "tmp-checkpoint-900").mkdir()
    source = _find(tmp_path)
    assert [ref.key for ref in source.refs()] == [
        *("step3", "step7", "step9", "step20", "step60", "step500", "step1000"),
        *("nostep-epoch-two", "nostep-rev-main"),
    ]
    for ref in source.refs():
        assert "unfinished folders are not read: tmp-checkpoint-900" in source.header(ref).notices


def test_damaged_children_are_listed_and_fail_by_name(tmp_path, save_bin, llama):
    for step in (1, 2, 3, 4, 5):
        llama.save_pretrained(tmp_path / f"step{step}", max_shard_size="20KB")
    (tmp_path / "step6").mkdir()
    next((tmp_path / "step2").glob("*-00002-of-*")).unlink()
    shard = next((tmp_path / "step3").glob("*-00002-of-*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    next((tmp_path / "step4").glob("*-00002-of-*")).write_bytes(b"")
    (tmp_path / "step5" / "config.json").unlink()
    source = _find(tmp_path)
    assert [ref.step for ref in source.refs()] == [1, 2, 3, 4, 5, 6]
    source.header(source.refs()[0])
    for ref in source.refs()[1:]:
        with pytest.raises(CheckpointError, match=f"step{ref.step}"):
            source.header(ref)
    for ref in (*source.refs()[1:4], source.refs()[5]):
        with pytest.raises(CheckpointError, match=f"step{ref.step}"):
            source.open(ref)


def test_unsafe_bin_is_refused_and_not_run(tmp_path, llama, bomb):
    trap, target = bomb
    llama.config.save_pretrained(tmp_path)
    torch.save({"w": trap}, tmp_path / "pytorch_model.bin")
    source, ref = _only(tmp_path)
    for read in (source.header, source.open):
        with pytest.raises(UnsafePickleError, match=r"pytorch_model\.bin.*eval"):
            read(ref)
    assert not target.exists()


def test_step_that_disagrees_with_the_folder(tmp_path, llama):
    folder = tmp_path / "checkpoint-4"
    llama.save_pretrained(folder)
    _trainer_state(folder, 6)
    source, ref = _only(tmp_path)
    header = source.header(ref)
    assert (ref.step, header.tokens_seen) == (4, 60)
    assert any("says step 4, its trainer_state.json step 6" in notice for notice in header.notices)


def test_damaged_trainer_state_fails_only_in_its_header(tmp_path, llama):
    for name in ("rev-a", "rev-b"):
        llama.save_pretrained(tmp_path / name)
    (tmp_path / "rev-a" / "trainer_state.json").write_text("{")
    source = _find(tmp_path)
    first, second = source.refs()
    with pytest.raises(CheckpointError, match=r"rev-a.trainer_state\.json"):
        source.header(first)
    source.header(second)


def test_fingerprint_follows_the_files_that_are_read(tmp_path, llama):
    llama.save_pretrained(tmp_path)
    source, ref = _only(tmp_path)
    before = source.header(ref).fingerprint
    (tmp_path / "README.md").write_text("not read")
    assert source.header(ref).fingerprint == before
    _trainer_state(tmp_path, 6)
    assert source.header(ref).fingerprint != before


def test_tied_weights_count_once(tmp_path):
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=1, n_head=2))
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    source, ref = _only(tmp_path)
    header = source.header(ref)
    assert {"lm_head.weight", "transformer.wte.weight"} <= set(header.tensors)
    assert header.num_bytes == sum(parameter.nbytes for parameter in model.parameters())


@pytest.mark.parametrize("content", [(), ("config.json",), ("checkpoint-1/optimizer.pt",)])
def test_folders_of_another_kind(tmp_path, content):
    for name in content:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert _find(tmp_path) is None


class _Tokens(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        ids = torch.randint(0, 64, (8,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": ids, "labels": ids}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Six steps of a real `Trainer`, saved every two and evaluated every four, and saved at the end."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=6,
        save_steps=2,
        logging_steps=2,
        eval_strategy="steps",
        eval_steps=4,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        include_num_input_tokens_seen=True,
        dataloader_pin_memory=False,
    )
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
        )
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=_Tokens(), eval_dataset=_Tokens())
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    return folder, trainer


def test_trainer_run(trained):
    folder, trainer = trained
    source = _find(folder)
    assert [ref.key for ref in source.refs()] == ["step2", "step4", "step6", "step6-final"]
    headers = [source.header(ref) for ref in source.refs()]
    # 2 sequences of 8 tokens a step.
    assert [header.tokens_seen for header in headers] == [32, 64, 96, 96]
    logged = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
    assert [header.train_loss for header in headers] == [logged[2], logged[4], logged[6], logged[6]]
    evaluated = {e["step"]: e["eval_loss"] for e in trainer.state.log_history if "eval_loss" in e}
    assert [header.eval_loss for header in headers] == [evaluated.get(step) for step in (2, 4, 6, 6)]
    assert evaluated.keys() == {4, 6}
    assert headers[1].sources == dict.fromkeys(
        ("tokens_seen", "train_loss", "eval_loss", "learning_rate"), "trainer_state.json"
    ) | {
        "config": "config.json",
        "batch_size_tokens": "trainer_state.json: num_input_tokens_seen / global_step",
    }
    rates = {e["step"]: e["learning_rate"] for e in trainer.state.log_history if "learning_rate" in e}
    assert [header.learning_rate for header in headers] == [rates[step] for step in (2, 4, 6, 6)]
    assert {header.batch_size_tokens for header in headers} == {16}
    assert [header.stated_step for header in headers] == [2, 4, 6, 6]
    assert "the run folder's own weights are of step 6, as are those of checkpoint-6" in headers[3].notices
    digests = [state_digest(source.open(ref)) for ref in source.refs()]
    assert digests[2] == digests[3]
    assert len(set(digests)) == 3


def test_final_weights_may_be_the_best_ones(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    content = json.loads((folder / "trainer_state.json").read_text())
    content["best_model_checkpoint"] = "elsewhere/run/checkpoint-4"
    (folder / "trainer_state.json").write_text(json.dumps(content))
    source = _find(folder)
    notices = [source.header(ref).notices for ref in source.refs()]
    assert [any("best checkpoint is checkpoint-4" in n for n in ns) for ns in notices] == [False] * 3 + [True]


def test_final_weights_without_a_state_have_no_step(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    (folder / "trainer_state.json").unlink()
    assert [ref.key for ref in _find(folder).refs()][-1] == "nostep-final"
