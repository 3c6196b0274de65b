"""What a configuration claims must be possible with the tensors that are there."""

import dataclasses
import math
import re
import time

import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.claims.sizes import layers_apart, require_numbers, require_rotation
from spectra_cli.extract.models.transformers.loading import build_module

CPU = torch.device("cpu")


def build(written, **config):
    header = dataclasses.replace(written.header, config={**written.header.config, **config})
    return build_module(header, None, device=CPU)[0]


@pytest.mark.parametrize("number", [10**12, 1e15, 2**62])
@pytest.mark.parametrize(
    ("model_type", "name"), [("qwen2", "num_hidden_layers"), ("gpt2", "n_layer"), ("mpt", "n_layers")]
)
def test_more_layers_than_tensors_are_refused_before_anything_is_built(write, model_type, name, number):
    started = time.process_time()
    with pytest.raises(ModelError, match=r"claims .* layers, and the checkpoint holds \d+ tensors"):
        build(write(model_type), **{name: number})
    assert time.process_time() - started < 2


def test_more_experts_than_numbers_are_refused(write):
    with pytest.raises(ModelError, match="num_experts is 1000000000000, and the largest tensor"):
        build(write("llama"), num_experts=10**12)


def test_names_of_classes_are_not_made_up(write):
    assert build(write("llama"), num_labels=10**12) is not None


def test_tables_of_a_billion_positions_are_refused(write):
    with pytest.raises(ModelError, match=r"tables that no file holds, such as transformer\.h\.\d+\.attn"):
        build(write("codegen"), n_positions=10**9)


def test_layers_that_are_no_count_are_left_alone(write):
    assert build(write("qwen2"), max_window_layers=1000) is not None


WHERE = "a/b"


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "8"])
@pytest.mark.parametrize("name", ["rope_theta", "factor", "low_freq_factor"])
@pytest.mark.parametrize("nested", [False, True])
def test_rotations_that_are_no_numbers(name, value, nested):
    stated = {name: value}
    with pytest.raises(ModelError, match=rf"a/b: {name} .*is .*; expected a finite number above 0"):
        require_rotation(WHERE, {"full_attention": stated} if nested else stated)


def test_one_factor_of_a_list_is_enough():
    require_rotation(WHERE, {"short_factor": [1.0, 2.0], "attention_factor": None, "factor": 8})
    with pytest.raises(ModelError, match=r"short_factor of its rotary positions is 0\.0"):
        require_rotation(WHERE, {"short_factor": [1.0, 0.0]})


@pytest.mark.parametrize("name", ["rms_norm_eps", "layer_norm_epsilon", "norm_eps", "layer_norm_eps", "eps"])
@pytest.mark.parametrize("value", [-1e-5, math.nan, math.inf])
def test_epsilons_that_are_no_epsilons(name, value):
    with pytest.raises(ModelError, match=rf"{name} is .*; expected a finite number from 0 on"):
        require_numbers(WHERE, {"text_config": {name: value}})
    require_numbers(WHERE, {name: 0.0, "steps": -1})


@pytest.mark.parametrize("value", [0, 0.0, -30.0, math.inf, math.nan])
@pytest.mark.parametrize(
    "name", ["attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar"]
)
def test_numbers_that_scores_cannot_be_divided_by(name, value):
    with pytest.raises(ModelError, match=rf"{name} is .*; expected a finite number above 0, or null"):
        require_numbers(WHERE, {name: value})
    require_numbers(WHERE, {name: None, "use_softcap": False})
    require_numbers(WHERE, {name: 30.0})


@pytest.mark.parametrize(
    ("model_type", "name", "value", "message"),
    [
        ("llama", "rms_norm_eps", -1.0, "rms_norm_eps is -1.0"),
        ("gemma2", "attn_logit_softcapping", math.inf, "attn_logit_softcapping is inf"),
        ("gemma2", "query_pre_attn_scalar", -1, "query_pre_attn_scalar is -1"),
        ("gpt2", "layer_norm_epsilon", -1.0, "layer_norm_epsilon is -1.0"),
        ("llama", "rope_parameters", {"rope_type": "linear", "factor": 0.0, "rope_theta": 1e4}, "factor of"),
        ("llama", "rope_scaling", {"rope_type": "linear", "factor": 0.0}, "factor of"),
    ],
)
def test_a_model_is_refused_by_the_name_of_the_number(write, model_type, name, value, message):
    written = write(model_type)
    config = written.header.config | {name: value}
    if name == "rope_scaling":
        config.pop("rope_parameters")
    with pytest.raises(ModelError, match=message):
        build_module(dataclasses.replace(written.header, config=config), None, device=torch.device("cpu"))


NAMES = ["wte", "h.0.a", "h.0.b", "h.1.a", "h.1.b", "h.2.a", "h.2.b"]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (3, ""),
        (4, "2 missing: h.3.a, h.3.b"),
        (1, "4 unexpected: h.1.a, h.1.b, h.2.a, h.2.b"),
        (0, "6 unexpected: h.0.a, h.0.b, h.1.a, h.1.b, h.2.a, h.2.b"),
    ],
)
def test_what_is_missing_or_too_much(stated, said):
    assert layers_apart(NAMES, re.compile(r"(h\.)(\d+)(\..+)"), stated=stated) == said


def test_nothing_loops_over_a_claim():
    started = time.process_time()
    said = layers_apart(NAMES, re.compile(r"(h\.)(\d+)(\..+)"), stated=10**15)
    assert said.startswith("1999999999999994 missing: h.3.a, h.3.b, ")
    assert said.endswith("h.12.b and 1999999999999974 more")
    assert time.process_time() - started < 1
