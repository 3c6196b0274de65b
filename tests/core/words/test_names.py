import pytest

from spectra_cli.core.words.names import did_you_mean, listed
from spectra_cli.statistics.registry import STATISTICS


def test_only_what_is_left_out_is_counted():
    assert listed([], 2) == ""
    assert listed((n for n in (3, 5)), 2) == "3, 5"
    assert listed({"a": 1, "b": 2, "c": 3, "d": 4}, 2, of=" places") == "a, b and 2 more places"


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
