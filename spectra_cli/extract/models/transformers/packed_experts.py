"""Experts packed into three-dimensional parameters, run one at a time so that each can be seen.

transformers packs a layer's experts into `gate_up_proj` (E, ., .) and `down_proj` (E, ., .) and runs them
through one of several kernels. `PackedExperts` takes the same parameters and works out the same sums,
expert by expert, and names the tokens of every product: what a per-sequence gradient needs.
Shapes: N tokens of a batch, K experts a token, E experts, D width, I inner width, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spectra_cli.core.errors import ModelError

# The same products in another order of summation: a few float32 roundings.
_TOLERANCE = 1e-5
_NUM_TOKENS = 4


class PackedLinear(nn.Module):
    """One linear map for every expert, the weights stacked: (E, O, I), or (E, I, O) if transposed."""

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None, *, transposed: bool) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias
        self.transposed = transposed

    def forward(self, rows: Tensor, expert: int, tokens: Tensor) -> Tensor:
        """The map of one expert: (n, I) -> (n, O); its `tokens` (n,) are there for the taps to see."""
        weight = self.weight[expert].T if self.transposed else self.weight[expert]
        return functional.linear(rows, weight, None if self.bias is None else self.bias[expert])


class PackedExperts(nn.Module):
    """The experts of one layer, under the writer's `names`; `up` holds gate and up where `has_gate`."""

    def __init__(self, writers: Any) -> None:
        """Take over the parameters of a module for which `is_packed` holds."""
        super().__init__()
        self.names = ("gate_up_proj" if writers.has_gate else "up_proj", "down_proj")
        self.up, self.down = (
            PackedLinear(
                getattr(writers, name),
                getattr(writers, f"{name}_bias") if writers.has_bias else None,
                transposed=writers.is_transposed,
            )
            for name in self.names
        )
        self.has_gate = bool(writers.has_gate)
        self.interleaved = not writers.is_concatenated
        self.num_experts = int(self.up.weight.shape[0])
        self.activate = writers._apply_gate if writers.has_gate else writers.act_fn
        self.post_norm = writers.post_expert_norm if writers.has_post_expert_norm else nn.Identity()

    def forward(self, hidden_ND: Tensor, experts_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """sum_k weights[t, k] expert_{experts[t, k]}(hidden[t]): (N, D)."""
        chosen, num_chosen = experts_NK.flatten(), experts_NK.shape[-1]
        order = chosen.argsort(stable=True)
        counts = chosen.bincount(minlength=self.num_experts).tolist()
        out_ND = torch.zeros_like(hidden_ND)
        for expert, slots in enumerate(order.split(counts)):
            if not len(slots):
                continue
            tokens = slots.div(num_chosen, rounding_mode="floor")
            inner = self.activate(self.up(hidden_ND[tokens], expert, tokens))
            rows = self.post_norm(self.down(inner, expert, tokens))
            weighted = rows * weights_NK.flatten()[slots, None]
            out_ND.index_add_(0, tokens, weighted.to(out_ND.dtype))
        return out_ND


def is_packed(module: nn.Module) -> bool:
    """Whether a module is one of transformers' packed experts, marked as such by its own decorator."""
    marks = ("has_gate", "has_bias", "is_transposed", "is_concatenated", "has_post_expert_norm")
    if not all(hasattr(module, mark) for mark in marks):
        return False
    first = "gate_up_proj" if module.has_gate else "up_proj"
    own = dict(module.named_parameters(recurse=False))
    return all(name in own and own[name].ndim == 3 for name in (first, "down_proj"))


def replace_experts(root: nn.Module) -> None:
    """Put a `PackedExperts` in place of every packed experts module of `root`, once it gave the same.

    Raises:
        ModelError: it gives something else.
    """
    for path, module in list(root.named_modules()):
        if not is_packed(module):
            continue
        ours = PackedExperts(module).eval()
        if ours.up.weight.device.type != "meta":
            _require_same(path, module, ours)
        root.set_submodule(path, ours)


def _require_same(path: str, writers: nn.Module, ours: PackedExperts) -> None:
    """Four tokens to the first and the last expert give what the writer's module gives."""
    weight = ours.up.weight
    width = weight.shape[1 if ours.up.transposed else 2]
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(_NUM_TOKENS, width, generator=generator).to(weight)
    experts = torch.tensor(sorted({0, ours.num_experts - 1}), device=weight.device).repeat(_NUM_TOKENS, 1)
    weights = torch.rand(experts.shape, generator=generator).to(weight)
    # the class's own loop, behind the kernels that its decorator chooses among
    run = getattr(type(writers).forward, "__wrapped__", type(writers).forward)
    with torch.inference_mode():
        expected, found = run(writers, hidden, experts, weights), ours(hidden, experts, weights)
    error, scale = float((found - expected).abs().max()), float(expected.abs().max())
    # weights that are NaN are found elsewhere, by name
    if not error <= _TOLERANCE * scale and bool(expected.isfinite().all()):
        raise ModelError(
            f"{path} ({type(writers).__name__}): its experts, run one at a time, differ by {error:.1e} from "
            f"the module's own output, whose largest entry is {scale:.1e}; this model cannot be measured"
        )
