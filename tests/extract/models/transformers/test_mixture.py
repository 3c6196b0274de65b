import types

import pytest
import torch
from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.transformers.generic import linear_views
from spectra_cli.extract.models.transformers.mixture import (
    PackedExperts,
    is_packed,
    mixture_views,
    replace_experts,
)

E, D, I = 5, 4, 3


class Marked(nn.Module):
    """Experts with the marks of transformers' decorator."""

    has_bias = has_post_expert_norm = False

    def __init__(self, *, has_gate=True, is_concatenated=True, is_transposed=False):
        super().__init__()
        self.has_gate, self.is_concatenated, self.is_transposed = has_gate, is_concatenated, is_transposed
        self.act_fn = nn.SiLU()
        first = (E, 2 * I, D) if has_gate else (E, I, D)
        self.register_parameter(
            "gate_up_proj" if has_gate else "up_proj", self._parameter(first, is_transposed)
        )
        self.down_proj = self._parameter((E, D, I), is_transposed)

    @staticmethod
    def _parameter(shape, is_transposed):
        tensor = torch.randn(shape)
        return nn.Parameter(tensor.transpose(1, 2) if is_transposed else tensor)

    def _apply_gate(self, rows):
        return rows


class Router(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(E, D))


def block(experts, router, *, name="gate", **parts):
    mixture = {name: router, "experts": PackedExperts(experts), **parts}
    return nn.ModuleDict({"q_proj": nn.Linear(D, D), "mlp": nn.ModuleDict(mixture)})


def views_of(module, config=None):
    linear = linear_views(3, module, "layers.3")
    config = config or types.SimpleNamespace(num_experts_per_tok=2)
    return {v.site.component: v for v in mixture_views(3, module, "layers.3", linear, config)}


def test_a_block_without_experts_keeps_its_views():
    module = nn.ModuleDict({"q_proj": nn.Linear(D, D)})
    linear = linear_views(0, module, "layers.0")
    assert mixture_views(0, module, "layers.0", linear, None) is linear


def test_halves_in_turns_or_one_after_the_other():
    for concatenated in (True, False):
        experts = Marked(is_concatenated=concatenated)
        views = views_of(block(experts, Router()))
        stored = experts.gate_up_proj[2]
        gate, up = stored.chunk(2) if concatenated else (stored[::2], stored[1::2])
        assert torch.equal(views["experts.2.gate"].weight(), gate)
        assert torch.equal(views["experts.2.up"].weight(), up)
        assert torch.equal(views["experts.2.down"].weight(), experts.down_proj[2])


def test_transposed_storage_is_seen_as_out_by_in():
    experts = Marked(is_transposed=True)
    views = views_of(block(experts, Router()))
    assert views["experts.4.up"].shape == (I, D)
    assert torch.equal(views["experts.4.down"].weight(), experts.down_proj[4].T)


def test_experts_without_a_gate_have_none():
    views = views_of(block(Marked(has_gate=False), Router()))
    assert [c for c in views if c.startswith("experts.1.")] == ["experts.1.up", "experts.1.down"]
    assert views["experts.1.up"].site.name == "layers.3.mlp.experts.up_proj[1]"


@pytest.mark.parametrize(("router", "kind"), [(Router(), "router"), (nn.Linear(D, E, bias=False), "linear")])
@pytest.mark.parametrize("name", ["gate", "router"])
def test_the_router_once_whatever_it_is_called(router, kind, name):
    views = views_of(block(Marked(), router, name=name))
    assert (views["mlp.router"].module, views["mlp.router"].kind) == (router, kind)
    assert views["mlp.router"].site.name == f"layers.3.mlp.{name}.weight"
    assert [v.module for v in views.values()].count(router) == 1


def test_shared_experts_and_their_gate():
    shared = nn.ModuleDict({f"{part}_proj": nn.Linear(D, D) for part in ("gate", "up", "down")})
    parts = {"shared_expert": shared, "shared_expert_gate": nn.Linear(D, 1)}
    views = views_of(block(Marked(), Router(), **parts))
    assert views["shared.down"].module is shared["down_proj"]
    assert views["shared.router"].shape == (1, D)
    assert list(views)[:6] == [
        "mlp.router",
        "q_proj",
        "shared.gate",
        "shared.up",
        "shared.down",
        "shared.router",
    ]


def test_the_share_of_tokens_that_an_expert_gets():
    module = block(Marked(), Router())
    assert views_of(module)["experts.0.up"].share == 2 / E
    assert views_of(module)["q_proj"].share == 1
    # a model that does not say how many experts a token takes may send it to all
    assert views_of(module, types.SimpleNamespace())["experts.0.up"].share == 1


class Writers(nn.Module):
    """Experts as transformers' decorator marks them, with the sums written out token by token."""

    def __init__(
        self, *, has_gate=True, has_bias=False, is_transposed=False, is_concatenated=True, post_norm=False
    ):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.has_gate, self.has_bias, self.is_transposed = has_gate, has_bias, is_transposed
        self.is_concatenated, self.has_post_expert_norm = is_concatenated, post_norm
        self.act_fn = nn.SiLU()
        if post_norm:
            self.post_expert_norm = nn.LayerNorm(D)
        shapes = {
            "gate_up_proj" if has_gate else "up_proj": (2 * I if has_gate else I, D),
            "down_proj": (D, I),
        }
        for name, (fan_out, fan_in) in shapes.items():
            shape = (E, fan_in, fan_out) if is_transposed else (E, fan_out, fan_in)
            setattr(self, name, nn.Parameter(torch.randn(shape, generator=generator)))
            if has_bias:
                setattr(self, f"{name}_bias", nn.Parameter(torch.randn(E, fan_out, generator=generator)))

    def _apply_gate(self, rows):
        gate, up = rows.chunk(2, dim=-1) if self.is_concatenated else (rows[..., ::2], rows[..., 1::2])
        return self.act_fn(gate) * up

    def _map(self, name, expert, row):
        weight = getattr(self, name)[expert]
        out = row @ weight if self.is_transposed else weight @ row
        return out + getattr(self, f"{name}_bias")[expert] if self.has_bias else out

    def forward(self, hidden, experts, weights):
        out = torch.zeros_like(hidden)
        for token, (chosen, shares) in enumerate(zip(experts.tolist(), weights, strict=True)):
            for expert, share in zip(chosen, shares, strict=True):
                first = "gate_up_proj" if self.has_gate else "up_proj"
                inner = self._map(first, expert, hidden[token])
                inner = self._apply_gate(inner) if self.has_gate else self.act_fn(inner)
                row = self._map("down_proj", expert, inner)
                out[token] += share * (self.post_expert_norm(row) if self.has_post_expert_norm else row)
        return out


VARIANTS = [
    {},
    {"has_gate": False},
    {"has_bias": True},
    {"is_transposed": True, "has_bias": True, "is_concatenated": False},
    {"post_norm": True},
]


def routed(num=7):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(num, D, generator=generator)
    # expert 4 gets no token
    experts = torch.stack([torch.randperm(E - 1, generator=generator)[:2] for _ in range(num)])
    return hidden, experts, torch.rand(num, 2, generator=generator)


@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_and_gradients_are_those_of_the_token_by_token_sum(variant):
    writers = Writers(**variant)
    ours = PackedExperts(writers)
    hidden, experts, weights = routed()
    results = []
    for module in (writers, ours):
        own_hidden, own_weights = hidden.clone().requires_grad_(), weights.clone().requires_grad_()
        out = module(own_hidden, experts, own_weights)
        leaves = [own_hidden, own_weights, ours.up.weight, ours.down.weight]
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    # float32, sums in another order
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
    assert not results[1][3][4].any()


def test_every_map_is_called_once_an_expert_with_its_tokens_in_order():
    ours = PackedExperts(Writers())
    hidden, experts, weights = routed()
    calls = []
    ours.down.register_forward_hook(lambda _m, args, out: calls.append((*args, out)))
    ours(hidden, experts, weights)
    assert [expert for _, expert, _, _ in calls] == sorted(set(experts.flatten().tolist()))
    for rows, expert, tokens, out in calls:
        assert tokens.tolist() == [t for t in range(len(experts)) if expert in experts[t]]
        assert rows.shape == (len(tokens), I)
        assert out.shape == (len(tokens), D)


def test_experts_are_replaced_and_their_parameters_kept():
    root = nn.ModuleDict({"mlp": nn.ModuleDict({"experts": Writers(), "other": nn.Linear(2, 2)})})
    parameter = root["mlp"]["experts"].down_proj
    replace_experts(root)
    ours = root["mlp"]["experts"]
    assert isinstance(ours, PackedExperts)
    assert ours.down.weight is parameter
    assert not is_packed(root["mlp"]["other"])


def test_experts_on_the_meta_device_are_replaced_unseen():
    root = nn.ModuleDict({"experts": Writers()}).to("meta")
    replace_experts(root)
    assert root["experts"].up.weight.is_meta


def test_what_is_not_marked_or_not_packed_is_left_alone():
    flat = Writers()
    flat.down_proj = nn.Parameter(torch.zeros(D, I))
    assert not is_packed(flat)
    unmarked = Writers()
    del unmarked.has_gate
    assert not is_packed(unmarked)
    root = nn.ModuleDict({"experts": unmarked})
    replace_experts(root)
    assert root["experts"] is unmarked


def test_experts_that_do_something_else_are_refused():
    class Scaled(Writers):
        def forward(self, hidden, experts, weights):
            return 1.01 * super().forward(hidden, experts, weights)

    with pytest.raises(ModelError, match=r"experts \(Scaled\).*differ by"):
        replace_experts(nn.ModuleDict({"experts": Scaled()}))


def test_weights_that_are_not_finite_are_not_this_files_business():
    writers = Writers()
    with torch.no_grad():
        writers.down_proj[0, 0, 0] = float("nan")
    root = nn.ModuleDict({"experts": writers})
    replace_experts(root)
    assert isinstance(root["experts"], PackedExperts)
