"""Measurements, places and statistics in a reader's words, the same in every table and sentence."""

from __future__ import annotations

from spectra_cli.core.types import Site

MEASUREMENTS = {
    "activation_covariance": "activations",
    "gradient_covariance": "gradients",
    "gradient_matrix": "uncentred gradients",
    "weight": "weights",
    "weight_update": "updates",
}
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
_STATISTICS = {
    "head_exponent_1_10": "α head 1-10",
    "head_exponent_2_10": "α head 2-10",
    "tail_exponent_30_150": "α tail 30-150",
    "tail_exponent_50_200": "α tail 50-200",
    "tail_exponent_scaled": "α tail scaled",
    "tail_exponent_sample_scaled": "α tail scaled n",
    "rankme_cov": "RankMe",
    "rankme_sv": "RankMe (sv)",
    "stable_rank": "stable rank",
    "top1_share": "top-1 share",
    "top10_share": "top-10 share",
    "gradient_noise_scale": "noise scale",
    "frobenius_norm": "Frobenius",
    "jensen_shannon": "JS",
    "rank_wasserstein": "rank W1",
    "log_spectral_distance_head": "LSD head",
    "log_spectral_distance_tail": "LSD tail",
    "head_movement": "head movement",
}


def measurement_words(name: str) -> str:
    """What was measured; the name itself where there are no words for it."""
    return MEASUREMENTS.get(name, name)


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


def statistic_words(name: str) -> str:
    """A number as the head of a column says it; the name itself where there are no words for it.

    >>> statistic_words("tail_exponent_scaled_frac"), statistic_words("log_rankme_cov")
    ('α tail scaled frac', 'log RankMe')
    """
    if name.endswith("_frac"):
        return statistic_words(name.removesuffix("_frac")) + " frac"
    if name.startswith("log_") and name not in _STATISTICS:
        return "log " + statistic_words(name.removeprefix("log_"))
    return _STATISTICS.get(name, name)
