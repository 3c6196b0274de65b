"""q, k, v and gate, up of fused matrices against twins with matrices of their own.

The twins are cut here, from what each architecture says of its heads, and attention is written out with
them: a wrong row would show in what reaches the output projection, and in the gradients.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.models.transformers.layouts import LAYOUTS
from tests.extract.writers.fused import (
    head_by_head,
    key_groups,
    one_key_head,
    thirds,
    tpu_cores,
    two_key_heads,
)

CPU = torch.device("cpu")
WIDTH, NUM_TOKENS = 32, 6


class Case(NamedTuple):
    """How one architecture cuts its fused matrix, and what it does to q, k and the scores.

    `cut` takes the outputs along the first dimension and gives q, k, v.
    """

    cut: Callable[..., Any]
    num_heads: int = 4
    num_keys: int = 4
    rotate: Callable[..., Any] = lambda x: x
    alibi_scale: float | None = None
    scale: float | None = None
    clip: float | None = None
    # a softmax or rotary tables in float32, also inside a float64 model
    single: bool = False


def angles(width):
    frequencies = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.outer(torch.arange(NUM_TOKENS, dtype=torch.float64), frequencies)


def turn_halves(width):
    """RoPE that turns dimension i with dimension i + width / 2, on the first `width` of each head."""

    def rotate(x):
        a, b, rest = x[..., : width // 2], x[..., width // 2 : width], x[..., width:]
        cos, sin = angles(width).cos(), angles(width).sin()
        return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)

    return rotate


def turn_neighbours(x):
    """RoPE that turns dimension 2 i with dimension 2 i + 1, on the whole head."""
    a, b = x[..., ::2], x[..., 1::2]
    cos, sin = angles(x.shape[-1]).cos(), angles(x.shape[-1]).sin()
    return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)


CASES = {
    "gpt2": Case(thirds),
    "gpt_neox": Case(head_by_head, rotate=turn_halves(2), single=True),
    "gpt_bigcode": Case(one_key_head, num_keys=1),
    "gpt_bigcode-heads": Case(head_by_head),
    "bloom": Case(head_by_head, alibi_scale=1.0, single=True),
    "mpt": Case(thirds, alibi_scale=1.0, single=True),
    "mpt-clipped": Case(thirds, alibi_scale=1.0, scale=0.2, clip=1.5, single=True),
    "falcon": Case(one_key_head, num_keys=1, rotate=turn_halves(8), single=True),
    "falcon-40b": Case(key_groups, num_keys=2, rotate=turn_halves(8), single=True),
    "falcon-rw": Case(head_by_head, alibi_scale=8**-0.5),
    "codegen": Case(tpu_cores, num_heads=8, num_keys=8, rotate=turn_neighbours, single=True),
    "phi3": Case(two_key_heads, num_keys=2, rotate=turn_halves(8), single=True),
}


class Pass(NamedTuple):
    """One pass of a model in float64, with what went into and came out of layer 1's attention."""

    case: Case
    views: dict
    weights: list
    biases: list
    inputs: torch.Tensor
    delta: torch.Tensor
    context: torch.Tensor
    context_gradient: torch.Tensor
    fused_gradients: list


@pytest.fixture(scope="module", params=sorted(CASES))
def run(request, write):
    case, written = CASES[request.param], write(request.param)
    model = find_family(written.header).build(written.header, written.state, device=CPU)
    model.module.double()
    views = {v.site.component: v for v in model.matrices if v.site.layer == 1}
    fused, out, seen = views["attn.q"].module, views["attn.o"].module, {}

    def see_fused(_module, args, output):
        seen["inputs"] = args[0].detach()
        output.register_hook(lambda g: seen.__setitem__("delta", g))

    def see_context(_module, args):
        seen["context"] = args[0].detach()
        args[0].register_hook(lambda g: seen.__setitem__("context_gradient", g))

    fused.weight.requires_grad_()
    handles = [fused.register_forward_hook(see_fused), out.register_forward_pre_hook(see_context)]
    tokens = torch.randint(61, (2, NUM_TOKENS + 1), generator=torch.Generator().manual_seed(3))
    logits = model.head(model.trunk(tokens[:, :-1]))
    for handle in handles:
        handle.remove()
    losses = [functional.cross_entropy(logits[i], tokens[i, 1:]) for i in range(2)]
    fused_gradients = [torch.autograd.grad(loss, fused.weight, retain_graph=True)[0] for loss in losses]
    sum(losses).backward()
    turned = [g.T if views["attn.q"].transposed else g for g in fused_gradients]
    stored = fused.weight.detach().T if views["attn.q"].transposed else fused.weight.detach()
    bias = torch.zeros(len(stored), dtype=torch.float64) if fused.bias is None else fused.bias.detach()
    return Pass(
        case=case,
        views=views,
        weights=[w.clone().requires_grad_() for w in case.cut(stored)],
        biases=case.cut(bias),
        fused_gradients=turned,
        **seen,
    )


def attend(run):
    """What reaches the output projection, with matrices of their own for q, k and v."""
    case = run.case
    q, k, v = (run.inputs @ w.T + b for w, b in zip(run.weights, run.biases, strict=True))
    if case.clip is not None:
        q, k, v = (x.clamp(-case.clip, case.clip) for x in (q, k, v))
    q = q.unflatten(-1, (case.num_heads, -1)).transpose(1, 2)
    k, v = (
        x.unflatten(-1, (case.num_keys, -1))
        .transpose(1, 2)
        .repeat_interleave(case.num_heads // case.num_keys, 1)
        for x in (k, v)
    )
    q, k = case.rotate(q), case.rotate(k)
    scores = q @ k.transpose(-1, -2) * (case.scale or q.shape[-1] ** -0.5)
    positions = torch.arange(NUM_TOKENS)
    if case.alibi_scale is not None:
        slopes = 2.0 ** (-8 * torch.arange(1, case.num_heads + 1, dtype=torch.float64) / case.num_heads)
        distance = positions[None, :] - positions[:, None]
        scores = scores + case.alibi_scale * slopes[:, None, None] * distance
    scores = scores.masked_fill(positions[None, :] > positions[:, None], float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2)


def close(run, found, expected, message=None):
    """float64, in another order of sums; float32 where the architecture rounds to it inside."""
    tolerance = 1e-5 if run.case.single else 1e-9
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale, msg=message)


def test_views_are_the_twins_matrices(run):
    for letter, weight in zip("qkv", run.weights, strict=True):
        assert torch.equal(run.views[f"attn.{letter}"].weight(), weight)


def test_attention_with_matrices_of_their_own_gives_the_same(run):
    close(run, attend(run), run.context)


def test_gradients_of_each_sequence_are_the_twins(run):
    context = attend(run)
    for i in range(2):
        cotangent = torch.zeros_like(context)
        cotangent[i] = run.context_gradient[i]
        twin = torch.autograd.grad(context, run.weights, cotangent, retain_graph=True)
        for letter, gradient in zip("qkv", twin, strict=True):
            view = run.views[f"attn.{letter}"]
            tapped = run.delta[i][:, view.rows].T @ run.inputs[i]
            close(run, tapped, gradient, view.site.address)
            # the same float64 products in another order
            torch.testing.assert_close(
                tapped, run.fused_gradients[i][view.rows], rtol=1e-9, atol=1e-15, msg=view.site.address
            )
            assert gradient.abs().max() > 0


def test_views_cover_the_fused_matrix_once(run):
    views = [run.views[f"attn.{c}"] for c in "qkv"]
    stored = views[0].module.weight.shape[1 if views[0].transposed else 0]
    covered = torch.cat([torch.arange(stored)[v.rows] for v in views])
    assert sorted(covered.tolist()) == list(range(stored))


def test_gate_and_up_of_phi3_are_the_twins(write):
    written = write("phi3")
    model = find_family(written.header).build(written.header, written.state, device=CPU)
    views = {v.site.component: v for v in model.matrices if v.site.layer == 1}
    mlp, u = model.blocks[1].mlp, torch.randn(2, NUM_TOKENS, WIDTH)
    gate, up = (nn.Linear(WIDTH, 48, bias=False) for _ in range(2))
    gate.weight.data, up.weight.data = mlp.gate_up_proj.weight[:48], mlp.gate_up_proj.weight[48:]
    assert torch.equal(views["mlp.gate"].weight(), gate.weight)
    assert torch.equal(views["mlp.up"].weight(), up.weight)
    expected = views["mlp.down"].module(functional.silu(gate(u)) * up(u))
    # float32 rounding
    torch.testing.assert_close(mlp(u), expected, rtol=1e-5, atol=1e-5)


def test_conv1d_is_its_transposed_linear(write):
    written = write("gpt2")
    model = find_family(written.header).build(written.header, written.state, device=CPU)
    for view in (v for v in model.matrices if v.transposed):
        linear = nn.Linear(view.module.weight.shape[0], view.module.weight.shape[1])
        linear.load_state_dict({"weight": view.module.weight.T, "bias": view.module.bias})
        a = torch.randn(2, 3, linear.in_features)
        out = slice(None) if view.rows is None else view.rows
        assert torch.equal(view.weight(), linear.weight[out])
        torch.testing.assert_close(view.module(a), linear(a), rtol=1e-5, atol=1e-5)


def build(written, **settings):
    header = dataclasses.replace(written.header, config={**written.header.config, **settings})
    return LAYOUTS["mpt"].build(header, None, device=torch.device("meta"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"logit_scale": "inv_sqrt_d_model"}, "logit_scale = 'inv_sqrt_d_model'"),
        ({"norm_type": "rmsnorm"}, "norm_type = 'rmsnorm'"),
        ({"attn_config": {"alibi": False}}, "alibi = False"),
        ({"attn_config": {"alibi_bias_max": 16}}, "alibi_bias_max = 16"),
        ({"attn_config": {"qk_ln": True, "rope": True}}, "qk_ln = True, rope = True"),
    ],
)
def test_what_would_be_passed_over_is_refused_by_name(write, settings, named):
    with pytest.raises(ModelError, match=f"asks for {named}, which transformers' own mpt passes over"):
        build(write("mpt"), **settings)


def test_settings_of_the_published_models_are_read(write):
    attention = {"alibi": True, "alibi_bias_max": 8, "attn_impl": "torch", "clip_qkv": 6.0}
    model = build(write("mpt"), logit_scale=None, norm_type="low_precision_layernorm", attn_config=attention)
    assert model.blocks[0].attn.clip_qkv == 6
    assert model.max_length == 64
