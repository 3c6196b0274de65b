"""Flex attention under the mask rules, against the masked kernels.

The compiled kernels need a GPU: `pytest -m gpu` runs them. Here torch's own flex attention runs eagerly, for
outputs, and its mathematical definition for gradients, since torch refuses those on the CPU.
"""

import warnings
from dataclasses import replace

import pytest
import torch
from torch._higher_order_ops.flex_attention import math_attention
from torch.nn.attention.flex_attention import create_mask, flex_attention

from spectra_cli.extract.models.decoder import attention as decoder_attention
from spectra_cli.extract.models.decoder import flex as decoder_flex
from spectra_cli.extract.models.decoder.attention import FLEX, MASKED, attend
from spectra_cli.extract.models.decoder.flex import attend_flex, blocks_of, mask_mod, objection, trial
from spectra_cli.extract.models.decoder.masks import Mask, MaskRule, attend_masked

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
        return attend_flex(q, k, v, blocks_of(mask), scale=0.2)


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
    blocks = (*blocks_of(mask).as_tuple()[:-1], mask_mod(rule, mask.documents, CPU))
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
    monkeypatch.setattr(decoder_flex, "attend_flex", lambda *_, **__: pytest.fail("flex attention was taken"))
    attend(q, k, v, mask, scale=0.2)
    assert mask.kernels == {MASKED: ""}


def test_what_ran_is_noted_with_what_spoke_against_the_other(tokens, monkeypatch):
    q, k, v, _ = queries_keys_values(torch.float32)
    monkeypatch.setattr(decoder_flex, "attend_flex", lambda q, k, v, blocks, scale: "taken")
    for why_not, kernels in ((None, {FLEX: ""}), ("no compiler", {MASKED: "no compiler"})):
        monkeypatch.setattr(decoder_attention, "_why_not_flex", lambda *_, why=why_not, **__: why)
        mask = Mask(RULES[-1], tokens)
        found = attend(q, k, v, mask, scale=0.2)
        assert isinstance(found, str) is (why_not is None)
        assert mask.kernels == kernels


class Queries:
    """Looks like queries on a GPU."""

    device = torch.device("cuda")

    def __init__(self, dtype=torch.float32, length=512, width=64):
        self.dtype, self.shape = dtype, (1, 2, length, width)


def test_each_shape_that_it_is_written_for_is_tried_once(tokens, monkeypatch):
    tried = []
    monkeypatch.setattr(decoder_flex, "_TRIED", {})
    monkeypatch.setattr(decoder_flex, "trial", lambda q, mask, scale: tried.append(q.shape))
    mask = Mask(MaskRule(window_tokens=1024, window_blocks=14, eot=50256), tokens)
    for unfit in (Queries(torch.float64), Queries(length=100), Queries(width=8)):
        assert objection(unfit, mask, scale=None) == ""
    for fit in (Queries(), Queries(), Queries(torch.bfloat16), Queries(length=513)):
        assert objection(fit, mask, scale=None) is None
    assert tried == [(1, 2, 512, 64), (1, 2, 512, 64), (1, 2, 513, 64)]


SHAPE = (2, 3, 384, 16)


@pytest.fixture
def tried(monkeypatch):
    """A trial on the CPU, with something else in flex attention's place."""

    def run(attention, rule=MaskRule(window_tokens=30, eot=END), dtype=torch.float32):  # noqa: B008 - frozen
        tokens = torch.randint(40, (SHAPE[0], SHAPE[2]), generator=torch.Generator().manual_seed(2))
        monkeypatch.setattr(
            decoder_flex,
            "attend_flex",
            lambda q, k, v, blocks, *, scale: attention(q, k, v, Mask(rule, tokens), scale=scale),
        )
        return trial(torch.empty(SHAPE, dtype=dtype), Mask(rule, tokens), scale=0.12)

    return run


def in_float64(q, k, v, mask, *, scale):
    """What an exact kernel would give."""
    return attend_masked(*(x.double() for x in (q, k, v)), mask, scale=scale).to(q.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_is_allowed(tried, dtype):
    assert tried(in_float64, dtype=dtype) is None


def rounded_as_by_tf32(q, k, v, mask, *, scale):
    """TF32 keeps 10 bits behind the leading one."""
    q, k = ((x.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32) for x in (q.detach(), k.detach()))
    return attend_masked(q, k, v, mask, scale=scale)


def other_window(q, k, v, mask, *, scale):
    mask.rule = replace(mask.rule, window_tokens=mask.rule.window_tokens + 1)
    return attend_masked(q, k, v, mask, scale=scale)


def detached(q, k, v, mask, *, scale):
    return attend_masked(q.detach(), k, v, mask, scale=scale) + 0 * q


def without_documents(q, k, v, mask, *, scale):
    mask.documents = None
    return attend_masked(q, k, v, mask, scale=scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("wrong", "what"),
    [(other_window, "output"), (without_documents, "output"), (detached, "gradient of queries")],
)
def test_a_kernel_that_computes_something_else_is_not_taken(tried, wrong, what, dtype):
    why = tried(wrong, dtype=dtype)
    assert why.startswith(f"its {what} differs from the masked kernels' by ")
    assert "of the largest at shape (2, 3, 384, 16)" in why


def test_a_kernel_that_rounds_float32_more_than_it_need_is_not_taken(tried):
    assert "its output differs" in tried(lambda *a, **b: rounded_as_by_tf32(*a, **b) + 0 * (a[0] + a[1]))


@pytest.mark.parametrize("error", [RuntimeError("no triton\nat all"), FileNotFoundError("no triton")])
def test_a_compiler_that_fails_is_told(tried, error):
    def fail(*_, **__):
        raise error

    assert tried(fail) == f"{type(error).__name__}: no triton"


def test_mistakes_of_ours_are_not_hidden(tried):
    with pytest.raises(KeyError):
        tried(lambda *_, **__: {}["x"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_on_a_gpu(rule, dtype, tokens):
    """As in the trial, whose verdict on the same shape has to be the same."""
    inputs = [x.to("cuda") for x in queries_keys_values(dtype)]
    mask = Mask(rule, tokens.to("cuda"))
    results = []
    for attention in (
        lambda q, k, v: attend_flex(q, k, v, blocks_of(mask), scale=0.2),
        lambda q, k, v: attend_masked(q, k, v, mask, scale=0.2),
    ):
        leaves = [x.clone().requires_grad_() for x in inputs[:3]]
        out = attention(*leaves)
        results.append([out.detach(), *torch.autograd.grad(out, leaves, inputs[3])])
    for one, other in zip(*results, strict=True):
        assert float((one - other).abs().max()) <= decoder_flex._TOLERANCE[dtype] * float(other.abs().max())
    assert trial(inputs[0], mask, scale=0.2) is None
