"""The words of places."""

from spectra_cli.core.types import Site
from spectra_cli.core.words.places import component_words, place_words, site_words


def test_places_outside_the_blocks_have_no_layer():
    assert place_words("weight", Site.parse("lm_head")) == "weights lm_head"
    assert component_words("lm_head") == "lm_head"


def test_a_matrix_is_called_as_the_option_takes_it():
    for name in ("attn.o", "mlp.down", "lm_head", "experts.up"):
        site = Site(layer=3, component=name, name="")
        assert name in (component_words(name), site_words(site).removeprefix("layer 3 "))
        assert place_words("weight", site) == f"weights {site_words(site)}"
