"""The matrices of a mixture of experts: router, shared experts, and every routed expert by number.

Components beside those of every decoder:
    mlp.router                            (E, D), logits of the E experts
    experts.3.gate, .up, .down            one routed expert
    shared.gate, .up, .down               the expert that every token passes
    shared.router                         (1, D), how much of it a token takes (Qwen)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import Site
from spectra_cli.extract.models.transformers.packed_experts import PackedExperts, PackedLinear
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
