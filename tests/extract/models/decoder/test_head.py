import math

import pytest
import torch

from spectra_cli.extract.models.decoder.head import Fp8Linear, fp8_logits, soft_cap


def test_caps_have_their_slope_and_their_bounds():
    z = torch.tensor([-1e4, 0.0, 1e4], dtype=torch.float64)
    assert soft_cap(z, "tanh", 15.0, width=64).tolist() == [-15.0, 0.0, 15.0]
    assert soft_cap(z, "sigmoid", 15.0, width=64).tolist() == pytest.approx([0.0, 15.0, 30.0])
    small = torch.tensor([1e-6], dtype=torch.float64)
    slope = {
        kind: (soft_cap(small, kind, 15.0, width=64) - soft_cap(0 * small, kind, 15.0, width=64)) / small
        for kind in ("tanh", "sigmoid")
    }
    # 2c / 4 over c sqrt(D) / 2; one order of the step short
    assert slope["tanh"].item() == pytest.approx(1.0, rel=1e-6)
    assert slope["sigmoid"].item() == pytest.approx(1 / math.sqrt(64), rel=1e-6)


@pytest.mark.parametrize(("kind", "cap"), [("none", 15.0), ("tanh", 0.0), ("sigmoid", -1.0)])
def test_no_cap_leaves_logits_as_they_are(kind, cap):
    z = torch.tensor([3.0, -4.0])
    assert soft_cap(z, kind, cap, width=64) is z


@pytest.fixture
def linear():
    torch.manual_seed(0)
    linear = Fp8Linear(8, 20).double()
    linear.weight.data *= 3
    return linear


def scaled(x, scale, dtype):
    return (scale * x).to(dtype).double()


def test_logits_and_gradients_are_those_of_the_scaled_products(linear):
    """With gradients as small as a mean over 65,536 tokens makes them: the scales of training as they are."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 8, generator=generator, dtype=torch.float64).requires_grad_()
    g = torch.randn(4, 20, generator=generator, dtype=torch.float64) * 2.0**-16
    g[0, 0] = 2.0**-16 * (1.125 + 2.0**-12)  # above the middle of two e5m2 values, and in bfloat16 on it
    x8, w8 = scaled(x, 2, torch.float8_e4m3fn), scaled(linear.weight, 32, torch.float8_e4m3fn)
    logits = fp8_logits(linear, x)
    # sums in another order, rounded to bfloat16 alike
    torch.testing.assert_close(logits, (x8 @ w8.T / 64).bfloat16().double(), rtol=0, atol=0)
    logits.backward(g)
    # logits are bfloat16, and so are their gradients: rounded twice, which is not rounding once
    g8 = scaled(g.bfloat16().double(), 2.0**29, torch.float8_e5m2)
    assert not torch.equal(g8, scaled(g, 2.0**29, torch.float8_e5m2))
    torch.testing.assert_close(x.grad, (g8 @ w8 / (2.0**29 * 32)).bfloat16().double(), rtol=0, atol=0)
    torch.testing.assert_close(linear.weight.grad, g8.T @ x8 / (2.0**29 * 2), rtol=1e-12, atol=0)


def test_gradients_too_large_for_the_scale_do_not_overflow(linear):
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    small = torch.randn(3, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2.0**-16
    (reference,) = torch.autograd.grad(fp8_logits(linear, x), x, small)
    for exponent in (10, 16, 20):
        (found,) = torch.autograd.grad(fp8_logits(linear, x), x, small * 2.0**exponent)
        # only what underflows, 2^-29 of the largest entry, depends on the power of two
        torch.testing.assert_close(found / 2.0**exponent, reference, rtol=2.0**-7, atol=1e-8)


def test_rows_do_not_see_each_other(linear):
    """A token's gradient is the same in any batch."""
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    g = torch.randn(3, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    g[0] *= 1e6
    (together,) = torch.autograd.grad(fp8_logits(linear, x), x, g)
    (alone,) = torch.autograd.grad(fp8_logits(linear, x[1:2]), x, g[1:2])
    assert torch.equal(together[1], alone[1])


def test_the_rounded_weight_follows_the_weight_and_its_dtype(linear):
    x = torch.ones(1, 8, dtype=torch.float64)
    with torch.no_grad():
        before = fp8_logits(linear, x)
        linear.weight.mul_(2)
        torch.testing.assert_close(fp8_logits(linear, x), 2 * before, rtol=2.0**-7, atol=0)
        single = fp8_logits(linear.float(), x.float())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = fp8_logits(linear, x.float())
    assert (single.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    # operands are exact in bfloat16; the sums round alike
    torch.testing.assert_close(half.float(), single, rtol=2.0**-7, atol=0)


def test_shapes_are_known_on_the_meta_device():
    linear = Fp8Linear(8, 20).to("meta")
    assert fp8_logits(linear, torch.zeros(2, 3, 8, device="meta")).shape == (2, 3, 20)
