import pytest
import torch
from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.transformers.packed_experts import PackedExperts, is_packed, replace_experts

E, D, I = 5, 4, 3


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
