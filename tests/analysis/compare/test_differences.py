"""Comparisons as a whole, on sampled spectra: what is compared, and how often it is wrong or blind."""

import math
from dataclasses import astuple, replace

import numpy as np
import pytest

from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.compare.aligned import spectra_at
from spectra_cli.analysis.compare.aligned.points import Point
from spectra_cli.analysis.compare.decisions import Verdict
from spectra_cli.analysis.compare.differences import NO_BLOCKS, Choice, decided, differences_at, left_out
from spectra_cli.analysis.compare.quantities import DISTANCES
from spectra_cli.core.types import Site
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
        *DISTANCES,
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


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("cache_bytes", [1, 2**20])
def test_many_places_at_once_are_what_each_is_alone(
    checkpoint, sampled, weight, monkeypatch, paired, cache_bytes
):
    """Alike or not, without blocks, with a zero, without a later or a third spectrum: in their order."""
    monkeypatch.setattr(spectra_at, "_CACHE_BYTES", cache_bytes)

    def spectra(seed):
        generator = np.random.default_rng(seed)
        made = [sampled(generator.normal(size=(N, D)) * SCALES, f"blocks.{i}.resid_post") for i in range(3)]
        made.append(sampled(generator.normal(size=(N, 2 * D)), "blocks.3.resid_post"))
        made += [
            weight(np.arange(64, 0, -1.0) ** generator.uniform(1, 2), f"blocks.{i}.attn.o") for i in (0, 1)
        ]
        made += [
            sampled(generator.normal(size=(256, D)), f"blocks.{i}.mlp.down", "gradient_covariance")
            for i in (0, 1)
        ]
        profile = made[1].block_profile.copy()
        profile[0, 20] = 16.0 * made[1].values[20]
        made.append(replace(made[1], site=Site.parse("blocks.4.resid_post"), block_profile=profile))
        return made

    def run(seed, chosen):
        before, after, third = (
            [one for one in spectra(10 * seed + i) if chosen is None or one.site == chosen] for i in range(3)
        )
        after = [one for one in after if one.site.address != "blocks.2.resid_post"]
        third = [one for one in third if one.site.address != "blocks.0.resid_post"]
        return Point(
            before=checkpoint(before),
            after=checkpoint(after),
            third=checkpoint(third),
            bracket=Bracket(before=0, after=1, share=0.3, gap=0.0, third=2, place=2.0),
            loss_step=-1.0,
            loss_noise=np.concatenate([[0.0], 0.01 * np.random.default_rng(seed).normal(size=16)]),
            loss_sizes=(4,) * 16,
        )

    choice = Choice(statistics=(*STATISTICS, *DISTANCES))

    def found(site=None):
        return differences_at(run(1, site), run(2, site), target=3.0, paired=paired, choice=choice)

    together = found()
    sites = list(dict.fromkeys(one.site for one in together))
    assert len(sites) == 8
    alone = [one for site in sites for one in found(site)]
    assert [(one.site, one.statistic, one.reason) for one in together] == [
        (one.site, one.statistic, one.reason) for one in alone
    ]
    for one, expected in zip(together, alone, strict=True):
        # all but the verdict, which is none yet
        numbers = pytest.approx(astuple(expected.found)[:-1], rel=1e-9, abs=1e-14, nan_ok=True)
        assert astuple(one.found)[:-1] == numbers


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


def test_a_number_without_a_standard_error_is_not_exact_and_says_why(point, sampled):
    spectrum = sampled(rows(np.random.default_rng(4), 1)[0] * SCALES)
    without = replace(spectrum, block_profile=None, block_sizes=())
    lone = point([without])
    chosen = Choice(statistics=("rankme_cov", "jensen_shannon"))
    number, distance = decided(differences_at(lone, lone, target=1.0, paired=True, choice=chosen))
    assert number.standing == distance.standing == "inconclusive"
    assert number.reason == f"A: {NO_BLOCKS}; B: {NO_BLOCKS}"
    assert "fewer than two blocks" in distance.reason


def test_a_number_that_does_not_exist_without_a_block_says_so(point, sampled):
    """The head loses a rank where the only block that has its direction is left out."""
    spectrum = sampled(rows(np.random.default_rng(4), 1)[0] * SCALES)
    profile = np.array(spectrum.block_profile)
    profile[:, 9:] = 0.0
    profile[3, 9:] = 16 * spectrum.values[9:]
    threshold = 1e-6 * spectrum.values[0]
    lone = point([replace(spectrum, block_profile=profile, zero_threshold=threshold)])
    chosen = Choice(statistics=("head_exponent_1_10",))
    (found,) = decided(differences_at(lone, lone, target=1.0, paired=True, choice=chosen))
    assert (found.standing, math.isnan(found.found.stderr)) == ("inconclusive", True)
    assert "does not exist without 1 of the 16 blocks" in found.reason


def test_what_one_run_alone_has_is_named(point, checkpoint, sampled, weight):
    a, b = (layers(sampled, rows(np.random.default_rng(5), number), [1.0] * number) for number in (2, 1))
    first, second = point([*a, weight([2.0, 1.0])]), point(b)
    found = list(left_out(first, second, Choice()))
    assert [(one.of_second, one.measurement, one.site.address) for one in found] == [
        (False, "activation_covariance", "blocks.1.resid_post"),
        (False, "weight", "blocks.0.attn.o"),
    ]
    assert list(left_out(first, second, Choice(layers=(7,)))) == []
    # measured at one of the two checkpoints around the point
    bracket = Bracket(before=0, after=1, share=0.5, gap=0.0)
    between = Point(before=checkpoint(a), after=checkpoint(a[:1]), bracket=bracket)
    (one,) = left_out(point(a), between, Choice())
    assert (one.of_second, one.site.layer) == (True, 1)
    assert "only one of the checkpoints" in one.reason


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
