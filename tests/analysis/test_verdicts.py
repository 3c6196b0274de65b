"""A comparison in sentences."""

import math
from dataclasses import replace

from spectra_cli.analysis.decisions import Difference, Verdict
from spectra_cli.analysis.differences import SiteDifference
from spectra_cli.analysis.verdicts import verdict_lines
from spectra_cli.core.types import Site


def one(layer, statistic, delta, verdict=Verdict.DIFFERENT, *, stderr=0.02, target=3.28, **changes):
    site = Site.parse(f"blocks.{layer}.attn.o")
    found = Difference(
        first=1.0,
        second=1.0 + delta,
        delta=delta,
        stderr=stderr,
        floor=0.03,
        degrees=15,
        paired=True,
        margin=0.05,
        p_value=1e-6,
        adjusted=1e-5,
        verdict=verdict,
    )
    fields = {"measurement": "gradient_covariance", "statistic": statistic, "target": target}
    return SiteDifference(site=site, other=site, found=found, **(fields | changes))


def lines(differences):
    return verdict_lines(differences, axis="loss", other="muon")


def test_the_sentence_of_the_issue():
    tails = [one(layer, "tail_exponent_sample_scaled", 0.11) for layer in range(6, 12)]
    still = [one(layer, "tail_exponent_sample_scaled", 0.0, Verdict.INCONCLUSIVE) for layer in range(6)]
    heads = [one(layer, "head_exponent_1_10", 0.001, Verdict.EQUAL) for layer in range(12)]
    found = lines(still + tails + heads)
    where = "gradients of attention output of layers 6-11"
    assert found == [
        f"{where}: tail steeper in muon by 0.11 ± 0.02 at loss 3.2800; head unchanged",
        "6 of 24 differences above the noise floor; 12 shown to be equal, 6 inconclusive",
    ]


def test_a_ratio_is_told_in_percent_both_ways():
    (up, _) = lines([one(0, "log_rankme_cov", math.log(1.25), stderr=0.04)])
    (down, _) = lines([one(0, "log_rankme_cov", -math.log(1.25), stderr=0.04)])
    assert "effective rank larger in muon by 25 ± 5 %" in up
    assert "effective rank smaller in muon by 20 ± 3 %" in down


def test_no_difference_is_said():
    assert lines([one(0, "head_exponent_1_10", 0.0, Verdict.EQUAL)]) == [
        "no difference: none of 1 numbers exceeds the noise floor; 1 shown to be equal, 0 inconclusive"
    ]


def test_a_distance_is_told_where_nothing_with_a_sign_moved():
    alone = lines([one(0, "head_movement", 0.3)])
    assert alone[0].startswith("gradients of attention output of layer 0: head movement 0.30 ± 0.02 at loss")
    beside = lines([one(0, "head_movement", 0.3), one(0, "top1_share", 0.1)])
    assert "head movement" not in beside[0]
    assert "(and 1 more number)" in beside[0]


def test_several_points_are_counted():
    found = lines([one(0, "top1_share", 0.1, target=t) for t in (4.0, 3.5)])
    assert "at loss 3.5000, and so at 2 of 2 points" in found[0]


def test_numbers_without_a_floor_are_kept_apart():
    exact = one(0, "log_stable_rank", math.log(2), measurement="weight")
    exact = replace(exact, found=replace(exact.found, p_value=math.nan, verdict=Verdict.INCONCLUSIVE))
    (line,) = lines([exact])
    assert "1 numbers without probe noise" in line
    assert line.endswith("largest: weights of attention output of layer 0: stable rank times 2")
    same = replace(exact, found=replace(exact.found, delta=0.0))
    assert lines([same]) == ["1 numbers without probe noise (weights) are identical"]


def test_more_places_than_fit_are_counted():
    found = lines(
        [one(2 * layer, "top1_share", 0.1) for layer in range(12)]
        + [one(2 * layer + 1, "top1_share", 0.0, Verdict.EQUAL) for layer in range(12)]
    )
    assert "findings at 4 more places" in found[8]
