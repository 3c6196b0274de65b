"""Flex attention under the mask rules, against the masked kernels.

The compiled kernels need a GPU: `pytest -m gpu` runs them. Here torch's own flex attention runs eagerly, for
outputs, and its mathematical definition for gradients, since torch refuses those on the CPU.
"""

import warnings

import pytest
import torch
from torch._higher_order_ops.flex_attention import math_attention
from torch.nn.attention.flex_attention import create_mask, flex_attention

from spectra_cli.extract.models import decoder_flex
from spectra_cli.extract.models.decoder_flex import agrees, attend_flex, is_fit, mask_mod
from spectra_cli.extract.models.decoder_masks import Mask, MaskRule, attend, attend_masked

CPU = torch.device("cpu")
LENGTH, END = 160, 3
RULES = [
    MaskRule(),
    MaskRule(window_tokens=30),
    MaskRule(eot=END),
    MaskRule(window_tokens=30, eot=END),
    MaskRule(window_blocks=3, block=16, eot=END),
    MaskRule(window_tokens=30, window_blocks=2, block=16, eot=END),
]
# sums of 160 products in another order
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture
def tokens():
    return torch.randint(40, (2, LENGTH), generator=torch.Generator().manual_seed(0))


def queries_keys_values(dtype, width=16):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 2, 3, LENGTH, width, generator=generator, dtype=torch.float64).to(dtype).unbind()


def eager(q, k, v, mask):
    """`attend_flex`, without its advice to compile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attend_flex(q, k, v, mask.blocks(), scale=0.2)


@pytest.mark.parametrize("rule", RULES)
def test_the_mask_is_the_rules(rule, tokens):
    mask = Mask(rule, tokens)
    dense = torch.zeros(2, LENGTH, LENGTH, dtype=torch.bool)
    for queries, keys, hidden in mask.pieces(torch.float32):
        dense[:, queries, keys] = (hidden == 0)[:, 0]
    found = create_mask(mask_mod(rule, mask.documents, CPU), 2, 1, LENGTH, LENGTH, device="cpu")
    assert torch.equal(found[:, 0], dense)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_outputs_are_those_of_the_masked_kernels(rule, dtype, tokens):
    q, k, v, _ = queries_keys_values(dtype)
    mask = Mask(rule, tokens)
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(
        eager(q, k, v, mask), attend_masked(q, k, v, mask, scale=0.2), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gradients_are_those_of_the_masked_kernels(rule, dtype, tokens):
    *inputs, weights = queries_keys_values(dtype)
    mask = Mask(rule, tokens)
    blocks = (*mask.blocks().as_tuple()[:-1], mask_mod(rule, mask.documents, CPU))
    found, wanted = [], []
    for gradients, attention in (
        (found, lambda q, k, v: math_attention(q, k, v, lambda score, *_: score, blocks, 0.2, {})[0]),
        (wanted, lambda q, k, v: attend_masked(q, k, v, mask, scale=0.2)),
    ):
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = attention(*leaves)
        gradients += [out, *torch.autograd.grad(out, leaves, weights)]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=10 * TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


def test_torch_still_refuses_gradients_on_the_cpu():
    """Once it does not, the test above can use flex attention itself."""
    q, k, v, _ = queries_keys_values(torch.float32)
    with pytest.raises(NotImplementedError, match="does not support backward on CPU"):
        flex_attention(q.requires_grad_(), k, v)


def test_only_cuda_takes_it(tokens, monkeypatch):
    q, k, v, _ = queries_keys_values(torch.float32)
    mask = Mask(RULES[-1], tokens)
    assert not is_fit(q, mask.rule)
    monkeypatch.setattr(decoder_flex, "attend_flex", lambda *_, **__: pytest.fail("flex attention was taken"))
    attend(q, k, v, mask, scale=0.2)


class _OnCuda:
    """Looks like queries on a GPU."""

    device = torch.device("cuda")

    def __init__(self, dtype=torch.float32, length=512, width=64):
        self.dtype, self.shape = dtype, (1, 2, length, width)


def test_on_cuda_it_is_taken_for_what_it_is_written_for(monkeypatch):
    tried = []
    monkeypatch.setattr(decoder_flex, "agrees", lambda rule, **kind: tried.append((rule, kind)) or True)
    rule = MaskRule(window_tokens=1024, window_blocks=14, eot=50256)
    assert is_fit(_OnCuda(), rule)
    assert is_fit(_OnCuda(torch.bfloat16), rule)
    assert not is_fit(_OnCuda(torch.float64), rule)
    assert not is_fit(_OnCuda(length=100), rule)
    assert not is_fit(_OnCuda(width=8), rule)
    # tried under windows that a short sequence feels
    assert tried[0][0] == MaskRule(window_tokens=150, window_blocks=2, eot=0)
    monkeypatch.setattr(decoder_flex, "agrees", lambda rule, **kind: False)
    assert not is_fit(_OnCuda(), rule)


@pytest.fixture
def trial(monkeypatch):
    """`agrees` on the CPU, with something else in flex attention's place."""
    agrees.cache_clear()

    def run(attention):
        monkeypatch.setattr(decoder_flex, "attend_flex", attention)
        return agrees(RULES[3], device=CPU, dtype=torch.float32, width=16)

    yield run
    agrees.cache_clear()


def test_kernels_that_differ_or_fail_are_not_taken(trial):
    rule = MaskRule(window_tokens=30, eot=END)

    def right(q, k, v, blocks, *, scale):
        ids = torch.arange(q.shape[2])[None].remainder(100)
        return attend_masked(q, k, v, Mask(rule, ids), scale=scale)

    assert trial(right)
    agrees.cache_clear()
    assert not trial(lambda q, k, v, blocks, *, scale: 1.01 * right(q, k, v, blocks, scale=scale))
    agrees.cache_clear()
    # right outputs, and wrong gradients
    assert not trial(lambda q, k, v, blocks, *, scale: right(q, k, v.detach(), blocks, scale=scale) + 0 * v)
    agrees.cache_clear()

    def no_compiler(*_, **__):
        raise RuntimeError("Cannot find a working triton installation")

    assert not trial(no_compiler)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_on_a_gpu(rule, dtype, tokens):
    """As `agrees`, with the rules as they are and two sequences of different documents."""
    inputs = [x.to("cuda") for x in queries_keys_values(dtype)]
    mask = Mask(rule, tokens.to("cuda"))
    results = []
    for attention in (
        lambda q, k, v: attend_flex(q, k, v, mask.blocks(), scale=0.2),
        lambda q, k, v: attend_masked(q, k, v, mask, scale=0.2),
    ):
        leaves = [x.clone().requires_grad_() for x in inputs[:3]]
        out = attention(*leaves)
        results.append([out.detach(), *torch.autograd.grad(out, leaves, inputs[3])])
    for one, other in zip(*results, strict=True):
        assert float((one - other).abs().max()) <= decoder_flex._TOLERANCE[dtype] * float(other.abs().max())
