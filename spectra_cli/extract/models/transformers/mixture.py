"""The matrices of a mixture of experts: router, shared experts, and every routed expert by number.

Components beside those of every decoder:
    mlp.router                            (E, D), logits of the E experts
    experts.3.gate, .up, .down            one routed expert
    shared.gate, .up, .down               the expert that every token passes
    shared.router                         (1, D), how much of it a token takes (Qwen)

transformers packs a layer's experts into `gate_up_proj` (E, ., .) and `down_proj` (E, ., .) and runs them
through one of several kernels. `PackedExperts` takes the same parameters and works out the same sums,
expert by expert, and names the tokens of every product: what a per-sequence gradient needs.
Shapes: N tokens of a batch, K experts a token, E experts, D width, I inner width, O outputs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import Site
from spectra_cli.extract.protocols import MatrixView

_ROUTERS = ("gate", "router")
_SHARED = {
    f"{shared}.{stored}": component
    for shared in ("shared_expert", "shared_experts", "shared_mlp")
    for stored, component in (
        ("gate_proj", "shared.gate"),
        ("up_proj", "shared.up"),
        ("down_proj", "shared.down"),
    )
} | {"shared_expert_gate": "shared.router"}
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


def mixture_views(
    layer: int, block: nn.Module, block_path: str, linear: list[MatrixView], config: Any
) -> list[MatrixView]:
    """The block's matrices: `linear` with a mixture's parts under their names, and the experts.

    Args:
        layer, block, block_path: which block; its packed experts are replaced already.
        linear: views of its linear maps; without a mixture they are returned as they are.
        config: of the model; says how many experts a token takes.

    Raises:
        ModelError: it takes none, or more than there are.
    """
    found = next(((path, m) for path, m in block.named_modules() if isinstance(m, PackedExperts)), None)
    if found is None:
        return linear
    path, experts = found
    mixture = path.rpartition(".")[0]
    inside = f"{block_path}.{mixture}." if mixture else f"{block_path}."
    router = _router(block.get_submodule(mixture), experts.num_experts)
    views = []
    if router is not None:
        name, module = router
        kind = "linear" if type(module).forward is nn.Linear.forward else "router"
        site = Site(layer=layer, component="mlp.router", name=f"{inside}{name}.weight")
        views.append(MatrixView(site=site, module=module, kind=kind))
    for view in linear:
        component = _SHARED.get(view.site.name.removeprefix(inside).removesuffix(".weight"))
        if component is not None:
            views.append(replace(view, site=replace(view.site, component=component)))
        elif router is None or view.module is not router[1]:
            views.append(view)
    chosen = getattr(config, "num_experts_per_tok", experts.num_experts)
    if not isinstance(chosen, int) or not 1 <= chosen <= experts.num_experts:
        raise ModelError(
            f"config.json says that a token takes {chosen} experts, and the model has {experts.num_experts}"
        )
    share = chosen / experts.num_experts
    return views + _expert_views(layer, experts, f"{block_path}.{path}", share)


def _router(mixture: nn.Module, num_experts: int) -> tuple[str, nn.Module] | None:
    """The module with the matrix that gives every expert its logit, and its name in the mixture."""
    for name, module in mixture.named_children():
        weight = getattr(module, "weight", None)
        if name in _ROUTERS and isinstance(weight, nn.Parameter) and weight.shape[0] == num_experts:
            return name, module
    return None


def _expert_views(layer: int, experts: PackedExperts, path: str, share: float) -> list[MatrixView]:
    first, second = experts.names
    parts: list[tuple[str, PackedLinear, str, slice | None]] = [("up", experts.up, first, None)]
    if experts.has_gate:
        width = experts.down.weight.shape[1 if experts.down.transposed else 2]
        halves = (slice(0, width), slice(width, 2 * width))
        gate, up = (slice(0, None, 2), slice(1, None, 2)) if experts.interleaved else halves
        parts = [("gate", experts.up, first, gate), ("up", experts.up, first, up)]
    parts.append(("down", experts.down, second, None))
    return [
        MatrixView(
            site=Site(layer=layer, component=f"experts.{expert}.{letter}", name=f"{path}.{name}[{expert}]"),
            module=module,
            rows=rows,
            transposed=module.transposed,
            expert=expert,
            share=share,
        )
        for expert in range(experts.num_experts)
        for letter, module, name, rows in parts
    ]
