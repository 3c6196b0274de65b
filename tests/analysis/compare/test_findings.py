"""Findings: neighbours of one sign together, at the point where most moved."""

import math
from dataclasses import replace

import pytest

from spectra_cli.analysis.compare.decisions import Difference, Verdict
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.compare.findings import counts, findings, strongest_first
from spectra_cli.core.types import Site


def one(layer, statistic="tail_exponent_scaled", *, delta=0.1, different=True, target=3.0, p_value=1e-6):
    stderr = 0.02
    address = f"blocks.{layer}.attn.o" if layer is not None else "lm_head"
    found = Difference(
        first=1.0,
        second=1.0 + delta,
        delta=delta,
        stderr=stderr,
        floor=0.03,
        degrees=15,
        paired=True,
        margin=0.05,
        p_value=p_value,
        adjusted=p_value,
        verdict=Verdict.DIFFERENT if different else Verdict.INCONCLUSIVE,
    )
    site = Site.parse(address)
    return SiteDifference(
        measurement="gradient_covariance",
        statistic=statistic,
        site=site,
        other=site,
        target=target,
        found=found,
    )


@pytest.fixture(name="one")
def _one():
    return one


def told(differences):
    return [(f.layers, f.statistic, f.delta > 0) for group in findings(differences) for f in group]


def test_neighbours_of_one_sign_are_one_finding_and_a_gap_or_a_sign_ends_it():
    signs = {0: 0.1, 1: 0.1, 2: 0.0, 3: 0.1, 4: -0.1, 5: -0.1}
    found = told([one(layer, delta=d, different=d != 0) for layer, d in signs.items()])
    assert sorted(found) == [
        ((0, 1), "tail_exponent_scaled", True),
        ((3,), "tail_exponent_scaled", True),
        ((4, 5), "tail_exponent_scaled", False),
    ]


def test_layers_that_were_not_measured_do_not_part_neighbours():
    assert told([one(0), one(3), one(6)]) == [((0, 3, 6), "tail_exponent_scaled", True)]


def test_outside_the_blocks_there_are_no_layers():
    assert told([one(None)]) == [((), "tail_exponent_scaled", True)]


def test_the_point_is_the_one_with_most_findings_and_of_equals_the_last():
    early = [one(0, target=4.0), one(1, target=4.0)]
    late = [one(0, target=3.0), one(1, target=3.0, different=False)]
    ((finding,),) = findings(early + late)
    assert (finding.target, finding.layers) == (4.0, (0, 1))
    ((finding,),) = findings([*early, one(0, target=3.0), one(1, target=3.0)])
    assert finding.target == 3.0


def test_mean_over_layers_with_an_error_that_is_never_too_small():
    ((finding,),) = findings([one(0, delta=0.1), one(1, delta=0.3)])
    assert (finding.delta, finding.stderr) == (pytest.approx(0.2), 0.02)
    assert finding.strength == pytest.approx(0.3 / 0.02)


def test_one_list_for_the_same_layers_the_strongest_first_and_distances_last():
    differences = [
        one(0, "head_movement", delta=0.9),
        one(0, delta=0.1),
        one(0, "log_rankme_cov", delta=-0.2),
    ]
    (group,) = findings(differences)
    assert [f.statistic for f in group] == ["log_rankme_cov", "tail_exponent_scaled", "head_movement"]


def test_the_tally_and_the_order():
    sure, unsure = one(0, p_value=1e-9), one(1, different=False, p_value=0.4)
    exact = replace(one(2, p_value=math.nan, different=False), measurement="weight")
    missing = one(3, delta=math.nan, different=False)
    tally = counts([sure, unsure, exact, missing])
    assert (tally.different, tally.inconclusive, tally.exact, tally.missing, tally.judged) == (1, 1, 1, 1, 2)
    weaker = one(4, p_value=1e-4)
    ordered = strongest_first([exact, unsure, weaker, sure])
    assert ordered == [sure, weaker, unsure, exact]
