"""Counting rules over decided differences made by hand."""

import math
from dataclasses import replace

import pytest

from spectra_cli.analysis.compare.decisions import Difference, Verdict, sequences_to_differ
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.taxonomy.evidence import Flag, Obstacle, gather
from spectra_cli.core.types import Site

HEAD = ("head_exponent_1_10", "head_exponent_2_10", "head_movement")
LAYERS = 8


def found(delta=0.1, verdict=Verdict.DIFFERENT, **changes):
    fields = {
        "first": 1.0,
        "second": 1.0 + delta,
        "delta": delta,
        "stderr": 0.01,
        "floor": 0.02,
        "degrees": 15,
        "paired": True,
        "margin": 0.05,
        "p_value": 0.001 if verdict is Verdict.DIFFERENT else 0.5,
        "adjusted": 0.002 if verdict is Verdict.DIFFERENT else 0.6,
        "verdict": verdict,
    }
    return Difference(**{**fields, **changes})


def item(statistic, layer, difference, measurement="activation_covariance", component="resid_post"):
    site = Site(layer=layer, component=component)
    return SiteDifference(
        measurement=measurement,
        statistic=statistic,
        site=site,
        other=site,
        target=3.0,
        found=difference,
    )


def items(verdicts_by_statistic):
    return [
        item(statistic, layer, found(verdict=verdict) if isinstance(verdict, Verdict) else verdict)
        for statistic, verdicts in verdicts_by_statistic.items()
        for layer, verdict in enumerate(verdicts)
    ]


def flag(verdicts_by_statistic, statistics=HEAD):
    return gather(items(verdicts_by_statistic), "activation_covariance", statistics, num_sequences=64).flag


def layers(num_different, rest=Verdict.INCONCLUSIVE):
    return [Verdict.DIFFERENT] * num_different + [rest] * (LAYERS - num_different)


@pytest.mark.parametrize(
    ("different", "expected"),
    [((4, 4, 0), Flag.MOVED), ((8, 3, 3), Flag.INCONCLUSIVE), ((0, 4, 4), Flag.MOVED)],
)
def test_moved_needs_two_statistics_in_half_of_the_layers(different, expected):
    assert flag({name: layers(n) for name, n in zip(HEAD, different, strict=True)}) is expected


def test_a_lone_statistic_moves_alone():
    assert flag({"tail_exponent_scaled": layers(4)}, ("tail_exponent_scaled",)) is Flag.MOVED


def test_signs_that_contradict_each_other_are_no_movement():
    up, down = found(0.1), found(-0.1)
    mixed = [up] * 4 + [down] * 4
    assert flag(dict.fromkeys(HEAD[:2], mixed) | {"head_movement": layers(0)}) is Flag.INCONCLUSIVE
    mostly = [up] * 5 + [down] * 3
    assert flag(dict.fromkeys(HEAD[:2], mostly) | {"head_movement": layers(0)}) is Flag.MOVED


def test_equal_needs_all_statistics_in_three_quarters_of_the_layers():
    def equal(n):
        return [Verdict.EQUAL] * n + [Verdict.INCONCLUSIVE] * (LAYERS - n)

    assert flag(dict.fromkeys(HEAD, equal(6))) is Flag.EQUAL
    assert flag(dict.fromkeys(HEAD, equal(5))) is Flag.INCONCLUSIVE
    # each statistic in three quarters, but not in the same layers
    assert flag({n: equal(6)[2 * i :] + equal(6)[: 2 * i] for i, n in enumerate(HEAD)}) is Flag.INCONCLUSIVE
    # one statistic without any number was not shown equal
    assert flag({name: equal(8) for name in HEAD[:2]}) is Flag.INCONCLUSIVE


def test_nothing_measured_is_said_so():
    assert flag({}) is Flag.NOT_MEASURED
    missing = found(math.nan, verdict=Verdict.INCONCLUSIVE)
    assert flag(dict.fromkeys(HEAD, [missing] * 4)) is Flag.NOT_MEASURED


def test_logarithms_and_other_widths_count_under_the_plain_name():
    named = [item("log_rankme_cov_frac", i, found()) for i in range(4)]
    evidence = gather(named, "activation_covariance", ("rankme_cov",), num_sequences=64)
    assert evidence.flag is Flag.MOVED
    assert evidence.statistics[0].statistic == "log_rankme_cov_frac"


def test_the_floor_that_was_not_beaten_is_counted():
    noisy = found(0.02, verdict=Verdict.INCONCLUSIVE)
    below = replace(noisy, adjusted=0.01)
    unknown = replace(noisy, stderr=math.nan, p_value=math.nan, adjusted=math.nan)
    bent = replace(noisy, interpolated=0.02)
    of = {name: [noisy, noisy, below, unknown, bent, found()] for name in HEAD[::2]}
    evidence = gather(items(of), "activation_covariance", HEAD[::2], num_sequences=64)
    counted, distance = evidence.statistics
    assert counted.obstacles == {
        Obstacle.NO_ERROR: 1,
        Obstacle.NOISE: 2,
        Obstacle.INTERPOLATION: 1,
        Obstacle.PROBE: 1,
    }
    assert (counted.num_undecided, len(counted.risen), counted.num_missing) == (5, 1, 0)
    assert counted.sequences_to_differ == sequences_to_differ(noisy, 64)
    # the distance between two noisy spectra says nothing about that of a larger probe
    assert distance.sequences_to_differ is distance.sequences_to_equal is None


def test_sites_without_a_number_stay_in_the_denominator():
    missing = found(math.nan, verdict=Verdict.INCONCLUSIVE)
    few = dict.fromkeys(HEAD, [found()] * 3 + [missing] * 5)
    evidence = gather(items(few), "activation_covariance", HEAD, num_sequences=64)
    assert (evidence.num_sites, evidence.layers, evidence.flag) == (8, (0, 1, 2), Flag.INCONCLUSIVE)
    counted = evidence.statistics[0]
    assert (len(counted.risen), counted.num_undecided, counted.num_missing) == (3, 0, 5)
    equal = dict.fromkeys(HEAD, [found(0.0, Verdict.EQUAL)] * 5 + [missing] * 3)
    assert flag(equal) is Flag.INCONCLUSIVE
