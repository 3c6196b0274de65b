"""Memory of activation functions in closed form; one peak is measured in test_mixing_memory."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from spectra_cli.extract.planning.activation_function import activation_bytes


def bytes_of(function, *, layers=4, length=128, width=4):
    blocks = tuple(nn.ModuleList([function]) for _ in range(layers))
    return activation_bytes(SimpleNamespace(blocks=blocks, matrices=(), width=64), length, width)


@pytest.mark.parametrize("name", ["gelu", "gelu_pytorch_tanh", "silu", "relu", "tanh"])
def test_one_fused_call_takes_nothing_beyond_what_linear_maps_keep(name):
    assert bytes_of(ACT2FN[name]) == 0


def test_models_without_a_module_for_it_take_nothing():
    assert bytes_of(nn.Linear(4, 4)) == 0


# each product keeps its factors, tanh and sigmoid their values; the input is kept by the map before
@pytest.mark.parametrize(
    ("name", "steps"),
    [("gelu_new", 3), ("gelu_accurate", 3), ("gelu_fast", 6), ("quick_gelu", 1), ("relu2", 1)],
)
def test_each_layer_keeps_the_values_of_every_step(name, steps):
    hidden = 128 * 4 * 64 * 4  # T, H = 4 D, bytes a value
    function = ACT2FN[name]
    one, four = bytes_of(function, layers=1), bytes_of(function, layers=4)
    assert four - one == 3 * steps * hidden
    # gradients of its steps, of one layer at a time
    assert one >= (steps + 3) * hidden
    assert bytes_of(function, width=8) == 2 * four
    assert bytes_of(function, length=256) == 2 * four
    with torch.no_grad():
        assert bytes_of(function) == four
