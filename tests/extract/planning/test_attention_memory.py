"""Memory of attention that keeps its scores, in closed form; one peak is measured in test_scan_memory."""

from types import SimpleNamespace

import pytest

from spectra_cli.extract.planning.attention_memory import attention_bytes


def model(*, attention="eager", heads=16, layers=4):
    config = SimpleNamespace(_attn_implementation=attention, num_attention_heads=heads)
    return SimpleNamespace(module=SimpleNamespace(config=config), blocks=[None] * layers)


def bytes_of(made, *, length=256, width=4, rounded=False, backward=True):
    return attention_bytes(made, length, width, rounded=rounded, backward=backward)


def test_fused_attention_and_models_without_heads_take_nothing():
    assert bytes_of(model(attention="sdpa")) == 0
    assert bytes_of(SimpleNamespace(module=SimpleNamespace(), blocks=[None])) == 0
    without = SimpleNamespace(module=SimpleNamespace(config=SimpleNamespace(_attn_implementation="eager")))
    assert bytes_of(without) == 0


@pytest.mark.parametrize("backward", [True, False])
def test_scores_grow_with_heads_with_the_square_of_the_length_and_with_the_width(backward):
    once = bytes_of(model(), backward=backward)
    assert once >= 16 * 256**2 * 4
    assert bytes_of(model(heads=32), backward=backward) == 2 * once
    assert bytes_of(model(), length=512, backward=backward) == 4 * once
    assert bytes_of(model(), width=8, backward=backward) == 2 * once


def test_each_layer_keeps_its_weights_for_backward_alone():
    weights = 16 * 256**2
    one, four = bytes_of(model(layers=1)), bytes_of(model(layers=4))
    assert four - one >= 3 * weights * 4
    rounded = bytes_of(model(layers=4), rounded=True) - bytes_of(model(layers=1), rounded=True)
    assert rounded >= 3 * weights * (4 + 2)
    assert bytes_of(model(layers=1), backward=False) == bytes_of(model(layers=4), backward=False)
