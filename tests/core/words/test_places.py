"""The words of places."""

from spectra_cli.core.types import Site
from spectra_cli.core.words.places import component_words, place_words


def test_places_outside_the_blocks_have_no_layer():
    assert place_words("weight", Site.parse("lm_head")) == "weights lm_head"
    assert component_words("lm_head") == "unembedding"
