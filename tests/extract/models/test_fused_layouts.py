"""q, k and v of fused matrices against attention written out with three separate matrices."""

import pytest
import torch
from torch import nn

from spectra_cli.extract.models.registry import find_family

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["gpt2", "gpt_neox"])
def case(request, write):
    """A fused attention in float64, its views, and what its twin needs: heads, tables, biases."""
    written = write(request.param)
    model = find_family(written.header).build(written.header, written.state, device=CPU)
    model.module.double()
    views = {v.site.component: v for v in model.matrices if v.site.layer == 1}
    u = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    arguments, tables = {}, None
    if request.param == "gpt_neox":
        tables = model.module.get_decoder().rotary_emb(u, torch.arange(6)[None])
        arguments = {"attention_mask": None, "position_embeddings": tables}
        attention = model.blocks[1].attention
    else:
        attention = model.blocks[1].attn
    return attention, views, u, arguments, tables


def rotate_part(x, tables):
    """RoPE on the leading dimensions that the tables cover: a cos + (-second half, first half) sin."""
    if tables is None:
        return x
    cos, sin = (t[:, None] for t in tables)
    width = cos.shape[-1]
    turned, rest = x[..., :width], x[..., width:]
    a, b = turned.chunk(2, dim=-1)
    return torch.cat((turned * cos + torch.cat((-b, a), -1) * sin, rest), -1)


def unfused_attention(u, weights, biases, out_weight, out_bias, tables, num_heads=4):
    q, k, v = (
        (u @ w.T + b).unflatten(-1, (num_heads, -1)).transpose(1, 2)
        for w, b in zip(weights, biases, strict=True)
    )
    q, k = rotate_part(q, tables), rotate_part(k, tables)
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(torch.ones(u.shape[1], u.shape[1]).triu(1).bool(), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2) @ out_weight.T + out_bias


def test_twin_with_separate_matrices_gives_the_same_output_and_gradients(case):
    attention, views, u, arguments, tables = case
    fused = [views[f"attn.{c}"] for c in "qkv"]
    weights = [v.weight().detach().clone().requires_grad_() for v in fused]
    biases = [v.module.bias[v.rows].detach() for v in fused]
    out = views["attn.o"]
    expected = unfused_attention(u, weights, biases, out.weight(), out.module.bias, tables)

    taps = {}

    def tap(_module, args, output):
        taps["a"] = args[0]
        output.requires_grad_()
        output.register_hook(lambda g: taps.__setitem__("delta", g))

    handle = fused[0].module.register_forward_hook(tap)
    found = attention(u, **arguments)[0]
    handle.remove()
    # float64; fused attention sums in another order
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)

    cotangent = torch.randn_like(u)
    # one sequence at a time: the gradient of that sequence alone
    for i in range(2):
        mask = torch.zeros(2, 1, 1, dtype=u.dtype)
        mask[i] = 1
        (found * cotangent * mask).sum().backward(retain_graph=True)
        twin = torch.autograd.grad((expected * cotangent * mask).sum(), weights, retain_graph=True)
        for view, gradient in zip(fused, twin, strict=True):
            per_sequence = taps["delta"][i][:, view.rows].T @ taps["a"][i]
            torch.testing.assert_close(per_sequence, gradient, rtol=1e-9, atol=1e-11, msg=view.site.address)


def test_views_cover_the_fused_matrix_once(case):
    views = [case[1][f"attn.{c}"] for c in "qkv"]
    stored = views[0].module.weight.shape[1 if views[0].transposed else 0]
    covered = torch.cat([torch.arange(stored)[v.rows] for v in views])
    assert sorted(covered.tolist()) == list(range(3 * 32))


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
