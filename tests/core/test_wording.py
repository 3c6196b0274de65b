"""The words of tables and sentences: every measurement and compared number has its own."""

from spectra_cli.analysis.quantities import DISTANCE_MARGINS
from spectra_cli.core.types import Site
from spectra_cli.core.wording import MEASUREMENTS, component_words, place_words, statistic_words
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import (
    ACTIVATIONS,
    GRADIENT_MATRIX,
    GRADIENTS,
    WEIGHT_UPDATES,
    WEIGHTS,
)


def test_every_measurement_that_is_compared_has_words():
    assert {ACTIVATIONS, GRADIENTS, GRADIENT_MATRIX, WEIGHTS, WEIGHT_UPDATES} == set(MEASUREMENTS)
    assert len(set(MEASUREMENTS.values())) == len(MEASUREMENTS)


def test_no_two_numbers_share_their_words():
    names = [f"{log}{name}" for name in (*STATISTICS, *DISTANCE_MARGINS) for log in ("", "log_")]
    assert len({statistic_words(name) for name in names}) == len(names)


def test_places_outside_the_blocks_have_no_layer():
    assert place_words("weight", Site.parse("lm_head")) == "weights lm_head"
    assert component_words("lm_head") == "unembedding"
