"""A live module is what its training stack would write, held against the files of `save_pretrained`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from spectra_cli.core.errors import ModelError, UsageError
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.digest import state_digest
from spectra_cli.extract.live.saved_form import saved_form
from tests.extract.writers import mixtures
from tests.extract.writers.huggingface import CONFIGS, random_model

# one of every way of tying, fusing and converting
ALL = CONFIGS | mixtures.CONFIGS
NAMES = ["gpt2", "qwen2", "llama", "gpt_neox", "bloom", "falcon-40b", "mpt", "phi3", "mixtral", "qwen3_moe"]
NAMES += ["gpt_oss", "deepseek_v3"]


def config_of(name: str) -> dict[str, object]:
    return {"model_type": name, **ALL[name]}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_save_pretrained_writes(name, tmp_path):
    model = random_model(config_of(name))
    form = saved_form(model)
    model.save_pretrained(tmp_path / "checkpoint-5")
    source = find_source(str(tmp_path))
    (ref,) = source.refs()
    header, state = source.header(ref), source.open(ref)
    assert form.format == ref.format
    assert form.config == header.config
    assert state_digest(form.state) == state_digest(state)
    assert {n: (t.shape, t.dtype) for n, t in state.items()} == {
        n: (t.shape, t.dtype) for n, t in form.state.items()
    }


def test_half_precision_stays_as_it_is():
    model = random_model(config_of("gpt2")).bfloat16()
    form = saved_form(model)
    assert {tensor.dtype for tensor in form.state.values()} == {torch.bfloat16}
    assert form.config["dtype"] == "bfloat16"


def test_wrappers_are_looked_through():
    model = random_model(config_of("gpt2"))
    expected = state_digest(saved_form(model).state)
    compiled: nn.Module = torch.compile(model)
    for wrapped in (compiled, nn.DataParallel(model), nn.DataParallel(compiled)):
        assert state_digest(saved_form(wrapped).state) == expected


def test_the_module_and_its_configuration_stay_as_they_were():
    model = random_model(config_of("gpt2")).train()
    before, config = {n: p.clone() for n, p in model.state_dict().items()}, model.config.to_json_string()
    form = saved_form(model)
    for tensor in form.state.values():
        tensor.add_(1)
    assert model.config.to_json_string() == config
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training


@dataclass
class GPTConfig:
    n_layer: int = 2
    n_head: int = 2
    n_embd: int = 8
    block_size: int = 16
    vocab_size: int = 32
    bias: bool = True
    dropout: float = 0.1


def test_a_nanogpt_says_its_arguments():
    module = nn.Module()
    module.config = GPTConfig()
    module.lm_head = nn.Linear(8, 32, bias=False)
    form = saved_form(module)
    assert form.format == "nanogpt"
    assert (form.config["n_layer"], form.config["dropout"], form.config["layout"]) == (2, 0.1, "nanogpt")
    assert list(form.state) == ["lm_head.weight"]


def test_what_it_cannot_read_is_refused():
    with pytest.raises(ModelError, match=r"torch\.nn\.modules\.linear\.Linear is no model that a live scan"):
        saved_form(nn.Linear(2, 2))
    with pytest.raises(UsageError, match=r"model= is of type OrderedDict; expected a torch\.nn\.Module"):
        saved_form(nn.Linear(2, 2).state_dict())
    with pytest.raises(ModelError, match="is a shard, or not in memory"):
        saved_form(random_model(config_of("gpt2")).to("meta"))
    adapted = random_model(config_of("gpt2"))
    adapted.peft_config = {}
    with pytest.raises(ModelError, match="carries adapters"):
        saved_form(adapted)
