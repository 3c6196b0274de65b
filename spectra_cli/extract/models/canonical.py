"""Canonical components: their order, and what a model lacks of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from spectra_cli.core.types import Site
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.protocols import MatrixView

COMPONENTS = ("attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.up", "mlp.down")


def embedding_views(
    embed: nn.Module, embed_name: str, head: nn.Module | None, head_name: str
) -> tuple[tuple[MatrixView, ...], dict[Site, str]]:
    """`embed` and `lm_head`, a shared matrix once, and what is absent with its reason.

    Args:
        embed, head: the modules whose `weight` is (V, D); head None where there is none.
        embed_name, head_name: paths of their weights.
    """
    tied = head is not None and head.weight is embed.weight
    first = MatrixView(
        site=Site(layer=None, component="embed", name=embed_name),
        module=embed,
        kind="embedding",
        aliases=(head_name,) if tied else (),
    )
    lm_head = Site(layer=None, component="lm_head", name=head_name)
    if head is None:
        return (first,), {lm_head: "this architecture has no output embedding"}
    if tied:
        return (first,), {lm_head: f"{head_name} is {embed_name}: measured once, as embed"}
    return (first, MatrixView(site=lm_head, module=head)), {}


def in_canonical_order(views: Iterable[MatrixView]) -> tuple[MatrixView, ...]:
    """`embed`, the blocks in order and inside each `COMPONENTS` then the rest as given, `lm_head`."""

    def key(view: MatrixView) -> tuple[float, int]:
        site = view.site
        if site.layer is None:
            return (-1, 0) if site.component == "embed" else (float("inf"), 0)
        rank = COMPONENTS.index(site.component) if site.component in COMPONENTS else len(COMPONENTS)
        return site.layer, rank

    return tuple(sorted(views, key=key))


def absent_components(
    views: Iterable[MatrixView], *, num_blocks: int, reasons: Mapping[str, str], otherwise: str
) -> dict[Site, str]:
    """The canonical components that no view covers, block by block, with the reason.

    Args:
        reasons: component -> why this architecture lacks it; `otherwise` stands for all others.
    """
    covered = {view.site.address for view in views}
    sites = [Site(layer=layer, component=c) for layer in range(num_blocks) for c in COMPONENTS]
    return {s: reasons.get(s.component, otherwise) for s in sites if s.address not in covered}


def unmeasured_notice(
    blocks: Sequence[nn.Module], views: Iterable[MatrixView], *, because: str = "not linear maps"
) -> tuple[str, ...]:
    """One notice that names the matrices and higher tensors of the blocks that no view covers, and why."""
    covered = {id(getattr(view.module, view.parameter)) for view in views}
    left = [
        name
        for block in blocks
        for name, parameter in block.named_parameters()
        if parameter.ndim >= 2 and id(parameter) not in covered
    ]
    if not left:
        return ()
    names = ", ".join(dict.fromkeys(left))
    return (f"{because}, so without gradient and weight spectra: {names} ({counted(len(left), 'tensor')})",)
