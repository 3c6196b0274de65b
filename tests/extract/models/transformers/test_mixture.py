import types

import pytest
import torch
from torch import nn

from spectra_cli.extract.models.transformers.generic import linear_views
from spectra_cli.extract.models.transformers.mixture import mixture_views
from spectra_cli.extract.models.transformers.packed_experts import PackedExperts

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
