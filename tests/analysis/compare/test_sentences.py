"""A comparison in sentences."""

import math
from dataclasses import replace

import pytest

from spectra_cli.analysis.compare.decisions import Difference, Verdict
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.compare.sentences import finding_lines, summary_lines
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
        adjusted=1e-5 if verdict is Verdict.DIFFERENT else 0.4,
        verdict=verdict,
    )
    fields = {"measurement": "gradient_covariance", "statistic": statistic, "target": target}
    return SiteDifference(site=site, other=site, found=found, **(fields | changes))


def lines(differences):
    findings = finding_lines(differences, axis="loss", other="muon")
    return [*findings, *summary_lines(differences, "muon")]


def test_the_sentence_of_the_issue():
    tails = [one(layer, "tail_exponent_sample_scaled", 0.11) for layer in range(6, 12)]
    still = [one(layer, "tail_exponent_sample_scaled", 0.0, Verdict.INCONCLUSIVE) for layer in range(6)]
    heads = [one(layer, "head_exponent_1_10", 0.001, Verdict.EQUAL) for layer in range(12)]
    found = lines(still + tails + heads)
    where = "gradients of attn.o of layers 6-11"
    assert found == [
        f"{where}: tail steeper in muon by 0.110 ± 0.020 at loss 3.2800; head equal within 0.05",
        "6 of 24 numbers differ; 12 equal within their margins, 6 not shown to differ",
    ]


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ([Verdict.EQUAL, Verdict.EQUAL], "; head equal within 0.05"),
        ([Verdict.EQUAL, Verdict.INCONCLUSIVE], "; head not shown to differ"),
        ([Verdict.EQUAL, None], "; head unknown"),
        ([Verdict.EQUAL, Verdict.DIFFERENT], ""),
        ([], ""),
    ],
)
def test_equality_of_the_head_is_said_only_where_it_was_shown(verdicts, told):
    tails = [one(layer, "tail_exponent_sample_scaled", 0.11) for layer in range(2)]
    heads = [
        one(layer, "head_exponent_1_10", 0.01, verdict or Verdict.INCONCLUSIVE)
        for layer, verdict in enumerate(verdicts)
    ]
    heads = [
        head if verdict else replace(head, found=replace(head.found, p_value=math.nan))
        for head, verdict in zip(heads, verdicts, strict=True)
    ]
    sentence = lines(tails + heads)[0]
    assert sentence.endswith(f"at loss 3.2800{told}")


def test_a_ratio_is_told_in_percent_both_ways():
    (up, _) = lines([one(0, "log_rankme_cov", math.log(1.25), stderr=0.04)])
    (down, _) = lines([one(0, "log_rankme_cov", -math.log(1.25), stderr=0.04)])
    assert "effective rank larger in muon by 25 ± 5 %" in up
    assert "effective rank smaller in muon by 20 ± 3 %" in down


def test_no_difference_is_said():
    (line,) = lines([one(0, "head_exponent_1_10", 0.0, Verdict.EQUAL)])
    assert line.startswith("no difference found among 1 number; ")
    assert line.endswith("1 equal within their margins, 0 not shown to differ")
    unsure = one(1, "head_exponent_1_10", 0.01, Verdict.INCONCLUSIVE)
    unknown = replace(unsure, found=replace(unsure.found, p_value=math.nan))
    assert lines([unsure, unknown])[0].endswith("1 not shown to differ, 1 unknown: no standard error")
    assert lines([unknown]) == ["none of 1 number can be judged: no standard error"]


def test_which_of_the_two_bounds_was_passed_is_said():
    """35 above a floor of one standard error are no contradiction to a single one that differs."""
    far = [one(layer, "top1_share", 0.05, Verdict.INCONCLUSIVE) for layer in range(35)]
    near = [one(layer, "top1_share", 0.02, Verdict.INCONCLUSIVE) for layer in range(35, 40)]
    sure = replace(near[0], found=replace(near[0].found, adjusted=0.01))
    none, bounds = lines([*far, *near[1:], sure])
    assert (
        none == "no difference found among 40 numbers; 0 equal within their margins, 40 not shown to differ"
    )
    assert bounds == (
        "of those that do not count as different, 35 at or above the noise floor, but not beyond chance "
        "among so many (false discovery rate 5 %); 1 beyond chance on this probe, but below the noise floor"
    )
    assert len(lines(near)) == 1


def test_a_distance_is_told_where_nothing_with_a_sign_moved():
    alone = lines([one(0, "head_movement", 0.3)])
    assert alone[0].startswith("gradients of attn.o of layer 0: head movement 0.300 ± 0.020 at loss")
    beside = lines([one(0, "head_movement", 0.3), one(0, "top1_share", 0.1)])
    assert "head movement" not in beside[0]
    assert "(and 1 more number)" in beside[0]


def test_what_holds_at_the_other_points_is_counted():
    targets = (5.0, 4.5, 4.0, 3.5)

    def sentence(*moved, numbers=("top1_share",)):
        """Of three layers at four points, as many as told differ."""
        return lines(
            [
                one(layer, name, 0.1, Verdict.DIFFERENT if layer < number else Verdict.EQUAL, target=target)
                for target, number in zip(targets, moved, strict=False)
                for layer in range(3)
                for name in numbers
            ]
        )[0]

    # half of the layers or more, of those that are told
    assert "layers 0-2: " in sentence(2, 1, 0, 3)
    assert sentence(2, 1, 0, 3).endswith(
        "at loss 3.5000, likewise in half of the layers or more at 1 of the other 3 points"
    )
    assert sentence(1, 0, 0, 3).endswith("likewise at none of the other 3 points")
    assert sentence(3, 3, 3).endswith("likewise at all other points")
    assert sentence(3, 3).endswith("at loss 4.5000, likewise at the other point")
    assert sentence(3).endswith("at loss 5")
    opposite = [one(0, "top1_share", -0.1, target=5.0), one(0, "top1_share", 0.1, target=4.0)]
    assert lines(opposite)[0].endswith("at loss 4, not so at the other point")


def test_numbers_without_a_floor_are_kept_apart():
    exact = one(0, "log_stable_rank", math.log(2), measurement="weight")
    exact = replace(exact, found=replace(exact.found, p_value=math.nan, verdict=Verdict.INCONCLUSIVE))
    (line,) = lines([exact])
    assert "1 number without probe noise" in line
    assert line.endswith("layer 0: stable rank larger in muon by 100 %")
    same = replace(exact, found=replace(exact.found, delta=0.0))
    assert lines([same]) == ["1 number without probe noise (weights) is identical"]


def test_distances_of_weights_are_told_as_distances():
    far, near = (one(0, name, 0.04, measurement="weight") for name in ("jensen_shannon", "head_movement"))
    margins = {"jensen_shannon": 1.3e-3, "head_movement": 0.05}
    exact = [
        replace(d, found=replace(d.found, p_value=math.nan, margin=margins[d.statistic])) for d in (near, far)
    ]
    line = lines(exact)[-1]
    # the one furthest beyond what counts as equal
    assert line.endswith("largest: weights of attn.o of layer 0: Jensen-Shannon divergence 0.04")


def test_more_places_than_fit_are_counted():
    found = lines(
        [one(2 * layer, "top1_share", 0.1) for layer in range(12)]
        + [one(2 * layer + 1, "top1_share", 0.0, Verdict.EQUAL) for layer in range(12)]
    )
    assert "findings at 4 more places" in found[8]
