"""bfloat16 passes: rounded weights are autocast's, and are gone afterwards."""

import pytest
import torch

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.numerics import half_weights, is_plain_linear, numerics

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
