"""What a configuration claims must be possible with the tensors that are there."""

import dataclasses
import time

import pytest
import torch

from spectra_cli.core.errors import ModelError
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
