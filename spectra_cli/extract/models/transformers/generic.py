"""A transformers decoder that no family names: its sites are found in the module tree.

Blocks are the longest list of modules that is not inside another. A linear map whose name is a common
one gets its canonical component; every other keeps its own path (`blocks.3.mixer.in_proj`), fused
matrices included: what their rows mean is not guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import Site
from spectra_cli.extract.models.canonical import absent_components
from spectra_cli.extract.models.transformers.layout import Sites, TransformersFamily
from spectra_cli.extract.models.transformers.mixture import mixture_views, replace_experts
from spectra_cli.extract.protocols import MatrixView

_ATTENTION = {
    "attn.q": ("q_proj", "query", "wq", "q_lin", "c_q"),
    "attn.k": ("k_proj", "key", "wk", "k_lin", "c_k"),
    "attn.v": ("v_proj", "value", "wv", "v_lin", "c_v"),
    "attn.o": ("o_proj", "out_proj", "wo", "out_lin", "c_proj", "dense"),
}
_MLP = {
    "mlp.gate": ("gate_proj",),
    "mlp.up": ("up_proj", "fc1", "fc_in", "c_fc", "dense_h_to_4h"),
    "mlp.down": ("down_proj", "fc2", "fc_out", "c_proj", "dense_4h_to_h"),
}
_BY_NAME = [{name: c for c, names in table.items() for name in names} for table in (_ATTENTION, _MLP)]
_SEPARATE = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})
_MLP_PARENTS = frozenset({"", "mlp", "ffn", "feed_forward", "mlp_block"})


def _find(module: Any) -> Sites:
    replace_experts(module)
    architecture = type(module).__name__
    path, blocks = find_blocks(module)
    views, elsewhere = views_of_blocks(blocks, path, module.config)
    absent = absent_components(
        views,
        num_blocks=len(blocks),
        reasons={},
        otherwise=f"no matrix of {architecture} goes by such a name",
    )
    said = f"{architecture} is not known by name: sites were found from the module tree ({path})"
    return Sites(
        blocks=blocks,
        views=views,
        final_norm=norm_after(module.get_submodule(path.rpartition(".")[0])),
        absent=absent | elsewhere,
        notices=(said,),
    )


GENERIC = TransformersFamily(
    name="generic",
    summary="any other decoder-only AutoModelForCausalLM, sites found from the module tree",
    find=_find,
)


def find_blocks(module: nn.Module) -> tuple[str, tuple[nn.Module, ...]]:
    """Path and members of the longest list of modules that no other list contains.

    Raises:
        ModelError: there is none.
    """
    lists = {
        path: part for path, part in module.named_modules() if isinstance(part, nn.ModuleList) and len(part)
    }
    outermost = [p for p in lists if not any(p.startswith(f"{other}.") for other in lists)]
    if not outermost:
        raise ModelError(
            f"{type(module).__name__}: no list of blocks in its module tree, so it cannot be scanned"
        )
    path = max(outermost, key=lambda p: len(lists[p]))
    return path, tuple(lists[path])


def views_of_blocks(
    blocks: Sequence[nn.Module], path: str, config: Any
) -> tuple[list[MatrixView], dict[Site, str]]:
    """Every matrix of the blocks, experts among them, each once; and where each shared one is measured.

    Args:
        blocks: in order, packed experts replaced; path: of their list.
        config: of the model, if it has one; says how many experts a token takes.
    """
    return each_once(
        [
            view
            for layer, block in enumerate(blocks)
            for view in mixture_views(
                layer, block, f"{path}.{layer}", linear_views(layer, block, f"{path}.{layer}"), config
            )
        ]
    )


def linear_views(layer: int, block: nn.Module, block_path: str) -> list[MatrixView]:
    """Every linear map of a block; two that claim one canonical component both keep their own path."""
    from transformers.pytorch_utils import Conv1D

    linear = {path: part for path, part in block.named_modules() if isinstance(part, nn.Linear | Conv1D)}
    components = {path: _component(path) for path in linear}
    claims = Counter(components.values())
    return [
        MatrixView(
            site=Site(
                layer=layer,
                component=components[path] if claims[components[path]] == 1 else path,
                name=".".join(part for part in (block_path, path, "weight") if part),
            ),
            module=part,
            transposed=isinstance(part, Conv1D),
        )
        for path, part in linear.items()
    ]


def each_once(views: Sequence[MatrixView]) -> tuple[list[MatrixView], dict[Site, str]]:
    """The views without those of a matrix that an earlier view has, and where each of these is measured.

    Layers that share weights (Zamba) have one gradient: the sum over all of them.
    """
    first: dict[tuple[int, str, int | None], MatrixView] = {}
    elsewhere: dict[Site, str] = {}
    for view in views:
        key = _identity(view)
        shared = first.setdefault(key, view)
        if shared is not view:
            first[key] = replace(shared, aliases=(*shared.aliases, view.site.name))
            elsewhere[view.site] = f"shares its weights with {shared.site.address}: measured once, there"
    return list(first.values()), elsewhere


def _identity(view: MatrixView) -> tuple[int, str, int | None]:
    return id(getattr(view.module, view.parameter)), str(view.rows), view.expert


def _component(path: str) -> str:
    """The canonical component of a path inside a block, or the path itself."""
    attention, mlp = _BY_NAME
    if not path:
        return "linear"  # the block itself
    if path == "mlp.gate":
        return "mlp.gate.weight"  # the router of a mixture of experts, not the canonical gate
    parent, _, name = path.rpartition(".")
    # RecurrentGemma calls what is recurrent or attention its temporal block
    if "attn" in parent or "attention" in parent or (parent == "temporal_block" and name in _SEPARATE):
        return attention.get(name, path)
    return mlp.get(name, path) if parent in _MLP_PARENTS else path


def norm_after(decoder: nn.Module) -> nn.Module | None:
    """The last norm among the decoder's own parts, None if there is none."""
    norms = [part for part in decoder.children() if "norm" in type(part).__name__.lower()]
    return norms[-1] if norms else None
