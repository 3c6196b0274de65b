"""Linear maps through oneDNN give what the modules give themselves, and are theirs again afterwards."""

import pytest
import torch
from torch import nn

from spectra_cli.extract.passes.onednn_linear import (
    float32_product,
    has_onednn,
    linear_library,
    onednn_linears,
)

pytestmark = pytest.mark.skipif(not has_onednn(), reason="this torch or processor has no oneDNN to use")


@pytest.mark.parametrize("name", ["variant-3", "gpt2", "llama"])
def test_outputs_and_input_gradients_are_the_modules_own(name, model_of, make_probe):
    model, probe = model_of(name), make_probe(3, 8)
    model.module.requires_grad_(False)

    def outputs_and_gradient():
        seen = []
        hook = model.blocks[0].register_forward_pre_hook(
            lambda _, args, kwargs: _leaf(args, kwargs, seen), with_kwargs=True
        )
        logits = model.head(model.trunk(probe.tokens))
        hook.remove()
        logits.square().sum().backward()
        return logits.detach(), seen[0].grad

    expected, gradient = outputs_and_gradient()
    with onednn_linears(model):
        assert any("forward" in vars(module) for module in model.module.modules())
        found, its_gradient = outputs_and_gradient()
    assert not any("forward" in vars(module) for module in model.module.modules())
    # float32 sums of at most a few hundred products, in another order
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    torch.testing.assert_close(its_gradient, gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))


def _leaf(args, kwargs, seen):
    seen.append(args[0].detach().requires_grad_())
    return (seen[0], *args[1:]), kwargs


@pytest.mark.parametrize("transposed", [False, True])
def test_the_product_is_float32s(transposed):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 5, 24, generator=generator)
    weight = torch.randn(24, 7, generator=generator).T if transposed else torch.randn(7, 24)
    bias = torch.randn(7, generator=generator)
    expected = inputs.double() @ weight.T.double() + bias.double()
    found = float32_product(inputs, weight, bias)
    assert float((found - expected).abs().max()) < 24 * 2**-23 * float(expected.abs().max())


def test_what_a_product_cannot_take_goes_the_plain_way(model_of):
    model = model_of("llama")
    model.module.requires_grad_(False)
    linear = next(m for m in model.module.modules() if isinstance(m, nn.Linear))
    with onednn_linears(model):
        assert linear(torch.empty(0, linear.in_features)).shape == (0, linear.out_features)


def test_maps_that_ask_for_a_gradient_are_left_alone(model_of):
    model = model_of("llama")
    model.module.requires_grad_(True)
    with onednn_linears(model):
        assert not any("forward" in vars(module) for module in model.module.modules())


def test_double_precision_is_left_alone(model_of):
    model = model_of("llama")
    model.module.requires_grad_(False).double()
    with onednn_linears(model):
        assert not any("forward" in vars(module) for module in model.module.modules())


def test_the_archive_names_what_multiplied():
    cpu, elsewhere = torch.device("cpu"), torch.device("meta")
    assert linear_library(cpu, "float32") == "onednn"
    assert linear_library(cpu, "bfloat16") == linear_library(elsewhere, "float32") == "torch"
