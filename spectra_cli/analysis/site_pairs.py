"""Which place of one model is compared with which of another: by address, or by relative depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spectra_cli.core.types import Site, Spectrum


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePair:
    """One measurement at one place of two models.

    Attributes:
        first, second: the spectra in A and in B.
    """

    first: Spectrum
    second: Spectrum

    @property
    def same_width(self) -> bool:
        """Whether both spectra have the same number of ranks."""
        return self.first.values.size == self.second.values.size


def depth(spectra: Iterable[Spectrum]) -> int:
    """Layers of a model, as far as its spectra tell: the last one measured, counted from 1."""
    return 1 + max((s.site.layer for s in spectra if s.site.layer is not None), default=-1)


def site_pairs(first: Iterable[Spectrum], second: Iterable[Spectrum]) -> Iterator[SitePair]:
    """Spectra of A, each with its counterpart in B; those without one are left out.

    Models of one depth are compared layer by layer. Of two depths, each layer of the shallower model is
    compared with the layer of the deeper one at the nearest relative depth, the first with the first and
    the last with the last.
    """
    ours, theirs = list(first), list(second)
    own_depth, other_depth = depth(ours), depth(theirs)
    by_place = {(s.measurement, s.site.component, s.site.layer): s for s in theirs}
    if own_depth > other_depth:
        back = {_counterpart(layer, other_depth, own_depth): layer for layer in range(other_depth)}
    else:
        back = {layer: _counterpart(layer, own_depth, other_depth) for layer in range(own_depth)}
    for spectrum in ours:
        site = spectrum.site
        layer = None if site.layer is None else back.get(site.layer, -1)
        other = by_place.get((spectrum.measurement, site.component, layer))
        if other is not None:
            yield SitePair(first=spectrum, second=other)


def _counterpart(layer: int, shallow: int, deep: int) -> int:
    """The layer of the deeper model at the relative depth of one of the shallower model."""
    return layer if shallow == deep or shallow < 2 else round(layer * (deep - 1) / (shallow - 1))


def named(site: Site) -> str:
    """A place in a reader's words.

    >>> named(Site.parse("blocks.3.attn.o")), named(Site.parse("lm_head"))
    ('attention output of layer 3', 'unembedding')
    """
    words = component_words(site.component)
    return words if site.layer is None else f"{words} of layer {site.layer}"


_WORDS = {
    "resid_post": "residual stream",
    "attn.q": "attention query",
    "attn.k": "attention key",
    "attn.v": "attention value",
    "attn.o": "attention output",
    "mlp.up": "MLP up-projection",
    "mlp.gate": "MLP gate",
    "mlp.down": "MLP down-projection",
    "embed": "embedding",
    "lm_head": "unembedding",
}


def component_words(component: str) -> str:
    """The name of a component in a reader's words; its own where there are none."""
    return _WORDS.get(component, component)
