"""What somebody may have meant."""

import pytest

from spectra_cli.core.words.suggestions import did_you_mean
from spectra_cli.statistics.registry import STATISTICS


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("rankme", {"rankme_cov", "rankme_sv"}),
        ("RankMe", {"rankme_cov", "rankme_sv"}),
        ("head_exponent", {"head_exponent_1_10", "head_exponent_2_10"}),
        ("head_exponent_1_1", {"head_exponent_1_10"}),
        ("top_10_share", {"top10_share"}),
        ("participation", {"participation_ratio"}),
        ("stable_rnak", {"stable_rank"}),
    ],
)
def test_all_names_that_are_equally_near_are_told(name, meant):
    told = did_you_mean(name, STATISTICS)
    assert {one for one in STATISTICS if one in told.replace("?", " ").replace(",", " ").split()} == meant


def test_nothing_is_guessed_of_what_is_far():
    assert did_you_mean("xyz", STATISTICS) == ""
    assert did_you_mean("", STATISTICS) == ""
    assert did_you_mean("a", []) == ""
