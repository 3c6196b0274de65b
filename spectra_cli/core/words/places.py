"""Places in a reader's words, the same in every table and sentence."""

from __future__ import annotations

from spectra_cli.core.measurements import measurement_words
from spectra_cli.core.types import Site

_COMPONENTS = {
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


def component_words(name: str) -> str:
    """A part of a model; the name itself where there are no words for it.

    >>> component_words("attn.o"), component_words("attn.sink")
    ('attention output', 'attn.sink')
    """
    return _COMPONENTS.get(name, name)


def place_words(measurement: str, site: Site, other: Site | None = None) -> str:
    """A row's measurement and place: the layer's number, and what of it unless that is its output.

    Args:
        other: the place in the second of two models of different depth.

    >>> place_words("gradient_covariance", Site.parse("blocks.3.attn.o"))
    'gradients layer 3 attn.o'
    >>> place_words("activation_covariance", *map(Site.parse, ("blocks.3.resid_post", "blocks.7.resid_post")))
    'activations layer 3|7'
    """
    words = [measurement_words(measurement)]
    if site.layer is not None:
        words.append("layer " + "|".join(dict.fromkeys(str(s.layer) for s in (site, other or site))))
    if site.component != "resid_post":
        words.append(site.component)
    return " ".join(words)
