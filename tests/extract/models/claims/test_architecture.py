"""The class that a configuration names beside its model type."""

import dataclasses

import pytest
import torch

from spectra_cli.extract.models.claims.architecture import architecture_notices
from spectra_cli.extract.models.transformers.loading import build_module


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
