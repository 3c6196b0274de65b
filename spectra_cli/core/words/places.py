"""Places in a reader's words, the same in every table and sentence."""

from __future__ import annotations

from spectra_cli.core.measurements import measurement_words
from spectra_cli.core.types import Site

_STREAM = "resid_post"


def component_words(name: str) -> str:
    """A part of a model: a matrix as `--matrices` takes it, so that what is read can be asked for.

    >>> component_words("attn.o"), component_words("resid_post")
    ('attn.o', 'residual stream')
    """
    return "residual stream" if name == _STREAM else name


def site_words(site: Site, other: Site | None = None) -> str:
    """A place: the layer's number, and what of it unless that is its output.

    Args:
        other: the place in the second of two models of different depth.

    >>> site_words(Site.parse("blocks.3.attn.o")), site_words(Site.parse("lm_head"))
    ('layer 3 attn.o', 'lm_head')
    """
    words = []
    if site.layer is not None:
        words.append("layer " + "|".join(dict.fromkeys(str(s.layer) for s in (site, other or site))))
    if site.component != _STREAM:
        words.append(site.component)
    return " ".join(words)


def place_words(measurement: str, site: Site, other: Site | None = None) -> str:
    """A row's measurement and place; `other` as in `site_words`.

    >>> place_words("gradient_covariance", Site.parse("blocks.3.attn.o"))
    'gradients layer 3 attn.o'
    >>> place_words("activation_covariance", *map(Site.parse, ("blocks.3.resid_post", "blocks.7.resid_post")))
    'activations layer 3|7'
    """
    return f"{measurement_words(measurement)} {site_words(site, other)}"
