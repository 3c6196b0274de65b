"""bfloat16 passes: rounded weights are autocast's, and are gone afterwards."""

import pytest
import torch
from torch import nn

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.numerics import half_weights, in_dtype, is_plain_linear, numerics

HALF = ScanSettings(preset="test", dtype="bfloat16")


@pytest.mark.parametrize("name", ["variant-3", "gpt2", "llama"])
def test_the_pass_is_autocasts_own(name, model_of, make_probe):
    model, probe = model_of(name), make_probe(3, 8)
    with torch.no_grad(), numerics(model, HALF):
        plain = model.head(model.trunk(probe.tokens))
        with half_weights(model):
            held = model.head(model.trunk(probe.tokens))
    assert plain.dtype == torch.bfloat16
    assert torch.equal(held, plain)


def test_the_weights_come_back(model_of):
    model = model_of("llama")
    before = dict(model.module.named_parameters())
    with half_weights(model):
        linear = [m for m in model.module.modules() if is_plain_linear(m)]
        assert {m.weight.dtype for m in linear} == {torch.bfloat16}
        assert model.module.get_input_embeddings().weight.dtype == torch.float32
    after = dict(model.module.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[n] is before[n] for n in before)


def test_a_patched_or_computed_linear_is_not_plain():
    patched, computed, plain = (nn.Linear(3, 2) for _ in range(3))
    patched.forward = lambda inputs: inputs
    nn.utils.parametrizations.weight_norm(computed)
    assert [is_plain_linear(m) for m in (patched, computed, plain)] == [False, False, True]


def test_a_conv1d_of_somebody_else_is_not_plain():
    class Conv1D(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2))

    assert not is_plain_linear(Conv1D())


def test_another_dtype_keeps_complex_buffers_whole():
    module = nn.Linear(2, 2)
    module.register_buffer("rotations", torch.tensor([1 + 2j], dtype=torch.complex64))
    module.register_buffer("places", torch.arange(3))
    in_dtype(module, torch.float64)
    assert module.weight.dtype == torch.float64
    assert module.rotations.tolist() == [1 + 2j]
    assert module.places.dtype == torch.int64
