"""What config.json says of how weights are stored, against the tensors: they decide."""

import dataclasses

import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.claims.precision import architecture_notices, precision_claims
from spectra_cli.extract.models.transformers.loading import build_module

CPU = torch.device("cpu")
BITS = {"quant_method": "bitsandbytes", "load_in_4bit": True}


def claiming(written, state=None, **config):
    """A header whose configuration makes these claims, and the tensors."""
    state = written.state if state is None else state
    tensors = {
        name: dataclasses.replace(written.header.tensors["model.norm.weight"], shape=t.shape, dtype=t.dtype)
        for name, t in state.items()
    }
    return dataclasses.replace(written.header, tensors=tensors, config={**written.header.config, **config})


@pytest.mark.parametrize(
    ("stated", "method"),
    [
        ({"quantization_config": BITS}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptq"),
        ({"quantization_config": [1]}, "unnamed"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
    ],
)
def test_a_stale_quantisation_over_plain_weights_is_a_notice(write, stated, method):
    written = write("llama")
    header = claiming(written, **stated)
    module, notices = build_module(header, written.state, device=CPU)
    assert torch.equal(module.lm_head.weight, written.state["lm_head.weight"])
    said = f"config.json has a quantization_config ({method}), and all 21 tensors are plain"
    assert [notice for notice in notices if notice.startswith(said)]
    assert build_module(header, None, device=CPU)[1] == notices


def test_no_claim_is_no_notice(write):
    assert precision_claims(claiming(write("llama"), quantization_config=None, dtype="float32")) == ()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.float8_e4m3fn])
def test_quantised_weights_are_refused_by_name(write, dtype):
    name = "model.layers.0.self_attn.q_proj.weight"
    state = {**write("llama").state, name: torch.zeros(32, 32).to(dtype)}
    header = claiming(write("llama"), state, quantization_config=BITS)
    for given in (None, state):
        with pytest.raises(ModelError, match=r"quantised weights \(bitsandbytes\).*q_proj\.weight \("):
            build_module(header, given, device=CPU)


def test_integers_where_nothing_claims_a_quantisation_are_refused(write):
    # they would become floating-point numbers without a word
    name = "model.layers.0.self_attn.q_proj.weight"
    state = {**write("llama").state, name: torch.ones(32, 32, dtype=torch.int8)}
    with pytest.raises(
        ModelError, match=r"1 weight holds no floating-point numbers: .*q_proj\.weight \(int8\)"
    ):
        build_module(claiming(write("llama"), state), state, device=CPU)


def test_a_mask_of_integers_is_no_quantised_weight(write):
    state = {**write("gpt2").state, "transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64, dtype=torch.uint8)}
    like = next(iter(write("gpt2").header.tensors.values()))
    tensors = {n: dataclasses.replace(like, shape=tuple(t.shape), dtype=t.dtype) for n, t in state.items()}
    config = {**write("gpt2").header.config, "quantization_config": BITS}
    header = dataclasses.replace(write("gpt2").header, tensors=tensors, config=config)
    assert "plain floating-point numbers" in build_module(header, state, device=CPU)[1][0]


def test_a_method_that_rounds_in_each_pass_is_refused(write):
    # the bfloat16 weights of BitNet are those that training rounds, not those that it computes with
    stated = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
    with pytest.raises(ModelError, match="bitnet rounds weights and activations in each forward pass"):
        precision_claims(claiming(write("llama"), quantization_config=stated))


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_a_dtype_that_no_tensor_has_is_a_notice(write, name):
    config = {"dtype": None, "torch_dtype": None, name: "bfloat16"}
    assert precision_claims(claiming(write("llama"), **config)) == (
        "config.json says bfloat16, and no tensor is stored so: they are float32",
    )


def said(header_of, built="MistralForCausalLM", **config):
    return architecture_notices(
        header_of({"model_type": "mistral", **config}, {}, format="huggingface"), built
    )


def test_another_architecture_than_the_model_type_is_noticed(header_of):
    (notice,) = said(header_of, architectures=["LlamaForCausalLM"])
    assert notice == (
        "config.json says architectures LlamaForCausalLM, and model_type mistral: built as "
        "MistralForCausalLM, which the latter means"
    )


@pytest.mark.parametrize(
    ("built", "architectures"),
    [
        ("MistralForCausalLM", None),
        ("MistralForCausalLM", []),
        ("MistralForCausalLM", ["MistralForCausalLM"]),
        ("MistralForCausalLM", ["MistralModel"]),
        ("LlamaForCausalLM", ["LLaMAForCausalLM"]),
        ("LlamaForCausalLM", ["LlamaForRewardModel"]),
        ("GPT2LMHeadModel", ["GPT2DoubleHeadsModel"]),
        ("GPT2LMHeadModel", ["GPT2Model"]),
    ],
)
def test_another_purpose_of_the_same_architecture_is_none(header_of, built, architectures):
    assert said(header_of, built, architectures=architectures) == ()


def test_a_model_says_it_once_it_is_built(write):
    written = write("llama")
    header = dataclasses.replace(
        written.header, config=written.header.config | {"architectures": ["MistralForCausalLM"]}
    )
    _, notices = build_module(header, None, device=torch.device("cpu"))
    assert [n for n in notices if "architectures MistralForCausalLM, and model_type llama" in n]
