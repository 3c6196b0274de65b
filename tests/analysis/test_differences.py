"""Comparisons as a whole, on sampled spectra: what is compared, and how often it is wrong or blind."""

import math

import numpy as np
import pytest

from spectra_cli.analysis.decisions import Verdict
from spectra_cli.analysis.differences import Choice, decided, differences_at, numbers_across
from spectra_cli.analysis.quantities import DISTANCE_MARGINS
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import estimate

D, N = 64, 512
SCALES = np.arange(1, D + 1) ** -0.5


def layers(sampled, draws, exponents):
    """A layer for each (rows, exponent of its eigenvalues)."""
    return [
        sampled(rows * SCALES**exponent, f"blocks.{i}.resid_post")
        for i, (rows, exponent) in enumerate(zip(draws, exponents, strict=True))
    ]


def rows(generator, number):
    return generator.normal(size=(number, N, D))


def test_every_number_of_every_place_b_minus_a(point, sampled):
    generator = np.random.default_rng(0)
    a, b = (layers(sampled, rows(generator, 2), e) for e in ([1.0, 1.0], [1.0, 1.5]))
    found = differences_at(point(a), point(b), target=3.28, paired=True)
    assert {(d.site.address, d.other.address) for d in found} == {
        (f"blocks.{i}.resid_post",) * 2 for i in range(2)
    }
    assert {d.statistic for d in found} == {
        "head_exponent_1_10",
        "head_exponent_2_10",
        "tail_exponent_scaled",
        "log_rankme_cov",
        "top1_share",
        "top10_share",
        *DISTANCE_MARGINS,
    }
    head = next(d for d in found if d.statistic == "head_exponent_1_10" and d.site.layer == 1)
    expected = [estimate(STATISTICS["head_exponent_1_10"], s[1]).value for s in (a, b)]
    assert head.found.delta == pytest.approx(expected[1] - expected[0], rel=1e-12)
    assert head.numbers[1].value == head.found.second == pytest.approx(expected[1])
    assert {d.target for d in found} == {3.28}


def test_the_same_checkpoint_shows_no_difference_and_equality_everywhere(point, sampled):
    same = point(layers(sampled, rows(np.random.default_rng(1), 3), [1.0] * 3))
    found = decided(differences_at(same, same, target=1.0, paired=True))
    assert {d.found.verdict for d in found} == {Verdict.EQUAL}
    assert {d.z for d in found} == {0.0}


def test_a_choice_chooses(point, sampled):
    same = point(layers(sampled, rows(np.random.default_rng(2), 2), [1.0] * 2))
    chosen = Choice(statistics=("rankme_cov", "jensen_shannon"), layers=(1,))
    found = differences_at(same, same, target=1.0, paired=True, choice=chosen)
    assert [(d.statistic, d.site.layer) for d in found] == [("log_rankme_cov", 1), ("jensen_shannon", 1)]
    nothing = Choice(measurements=("weight",))
    assert differences_at(same, same, target=1.0, paired=True, choice=nothing) == []


def test_what_has_no_number_says_whose_and_why(point, sampled):
    same = point(layers(sampled, rows(np.random.default_rng(3), 1), [1.0]))
    chosen = Choice(statistics=("tail_exponent_50_200",))
    (found,) = differences_at(same, same, target=1.0, paired=True, choice=chosen)
    assert found.standing == "missing"
    assert found.reason.startswith("A: ranks 50-200 do not fit")


def test_weights_have_differences_and_no_floor_and_distances_only_if_asked_for(point, weight):
    a, b = (point([weight(np.arange(64, 0, -1.0) ** e)]) for e in (1.0, 1.2))
    found = decided(differences_at(a, b, target=1.0, paired=True))
    assert {d.standing for d in found} == {"exact"}
    assert all("no noise floor" in d.reason for d in found)
    assert not any(d.is_distance for d in found)
    chosen = Choice(statistics=("jensen_shannon",))
    (one,) = differences_at(a, b, target=1.0, paired=True, choice=chosen)
    assert one.found.delta > 0


def test_numbers_across_runs_are_those_that_are_compared(point, sampled):
    generator = np.random.default_rng(4)
    runs = [point(layers(sampled, rows(generator, 2), [1.0, 1.1])) for _ in range(3)]
    across = {
        (name, site.layer): [run.estimated.value for run in found]
        for _, name, site, found, _ in numbers_across(runs)
    }
    for one in differences_at(runs[0], runs[2], target=1.0, paired=True):
        if not one.is_distance:
            values = across[one.statistic, one.site.layer]
            assert (values[0], values[2]) == (one.found.first, one.found.second)


# ------------------------------------------------------- rates over whole comparisons, distances included


def simulated(generator, sampled, point, *, paired, exponents):
    """One comparison, decided: on one probe half of the variance of each row is common to both models."""
    number = len(exponents)
    own = [rows(generator, number), rows(generator, number)]
    if paired:
        shared = rows(generator, number)
        own = [math.sqrt(0.5) * (shared + x) for x in own]
    a = point(layers(sampled, own[0], [1.0] * number))
    b = point(layers(sampled, own[1], exponents))
    return decided(differences_at(a, b, target=1.0, paired=paired))


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
def test_at_most_one_comparison_in_twenty_reports_a_difference_where_there_is_none(sampled, point, paired):
    """1,000 comparisons of two layers, 22 numbers each: exponents, ranks, shares and distances."""
    generator = np.random.default_rng(5)
    trials = 1000
    wrong = sum(
        any(d.is_different for d in simulated(generator, sampled, point, paired=paired, exponents=[1.0] * 3))
        for _ in range(trials)
    )
    # the rate aimed at, and two standard errors of 1,000 trials above it
    assert wrong / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


@pytest.mark.slow
def test_a_shift_of_three_standard_errors_is_found_nine_times_in_ten(sampled, point):
    """The exponent of all eigenvalues of every layer, shifted by three standard errors of its tail."""
    generator = np.random.default_rng(6)
    calibration = [
        d.found
        for _ in range(50)
        for d in simulated(generator, sampled, point, paired=False, exponents=[1.0] * 3)
        if d.statistic == "tail_exponent_scaled"
    ]
    shift = 3 * float(np.nanstd([one.delta for one in calibration]))
    trials = 200
    found = sum(
        any(
            d.is_different
            for d in simulated(generator, sampled, point, paired=False, exponents=[1.0 + shift] * 3)
        )
        for _ in range(trials)
    )
    assert found / trials >= 0.9
