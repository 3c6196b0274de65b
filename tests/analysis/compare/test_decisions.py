"""Verdicts: closed forms, and their rates over simulated comparisons with known truth."""

import math
from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_1samp, ttest_ind
from scipy.stats import t as student

from spectra_cli.analysis.compare.decisions import (
    Case,
    Difference,
    Verdict,
    benjamini_hochberg,
    decide,
    differences,
    reach,
    sequences_to_differ,
    sequences_to_equal,
)
from spectra_cli.analysis.estimates import Estimated
from tests.builders.difference import difference

B = 16
SIZES = (8,) * B


def mean_of(blocks):
    """The mean of block means, as an estimate with its delete-one-block values."""
    blocks = np.asarray(blocks, dtype=float)
    without = (blocks.sum() - blocks) / (blocks.size - 1)
    return Estimated(per_row=np.concatenate([[blocks.mean()], without]), block_sizes=(8,) * blocks.size)


def test_a_paired_difference_of_means_is_the_paired_t_test():
    generator = np.random.default_rng(0)
    a = generator.normal(size=B)
    b = a + 0.1 * generator.normal(size=B) + 0.05
    found = difference(mean_of(a), mean_of(b), paired=True, margin=1.0)
    expected = ttest_1samp(b - a, 0.0)
    assert found.delta == pytest.approx((b - a).mean(), rel=1e-12)
    assert found.stderr == pytest.approx((b - a).std(ddof=1) / math.sqrt(B), rel=1e-10)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_an_unpaired_difference_of_means_is_students_t_test():
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, B))
    found = difference(mean_of(a), mean_of(b), paired=False, margin=1.0)
    assert found.p_value == pytest.approx(ttest_ind(a, b).pvalue, rel=1e-9)
    assert found.floor == found.stderr


def test_many_numbers_at_once_are_what_each_is_alone():
    """Of other blocks, with losses of their own blocks, and without any: in their order."""
    generator = np.random.default_rng(8)

    def number(blocks=B, loss_blocks=0):
        one = mean_of(generator.normal(size=blocks))
        loss = mean_of(0.1 * generator.normal(size=loss_blocks)) if loss_blocks else one
        rows = loss.per_row - loss.value if loss_blocks else np.empty(0)
        sizes = loss.block_sizes if loss_blocks else ()
        return replace(one, loss_rows=rows, loss_sizes=sizes, bend=generator.normal() / 50, unbent=0.02)

    pairs = [(number(), number()), (number(8), number(8)), (number(B, 8), number(B, 8)), (number(), number())]
    pairs += [(number(B, 8), number(B, 4)), (number(B, 8), number(B)), (number(B, 8), number(B, 8))]
    cases = [
        Case(first=a, second=b, paired=paired, margin=0.05) for a, b in pairs for paired in (True, False)
    ]
    cases.append(Case(first=number(), second=number(8), paired=False, margin=0.1))
    found = differences(cases)
    for case, one in zip(cases, found, strict=True):
        alone = difference(case.first, case.second, paired=case.paired, margin=case.margin)
        assert astuple(one)[:-1] == pytest.approx(astuple(alone)[:-1], rel=1e-12, nan_ok=True)
        assert (one.first, one.second) == (case.first.value, case.second.value)


def test_equality_is_shown_and_not_presumed():
    generator = np.random.default_rng(2)
    noise = generator.normal(size=B)
    same = difference(
        mean_of(noise), mean_of(noise + 1e-3 * generator.normal(size=B)), paired=True, margin=0.05
    )
    unknown = difference(mean_of(noise), mean_of(generator.normal(size=B)), paired=True, margin=0.05)
    assert [d.verdict for d in decide([same, unknown])] == [Verdict.EQUAL, Verdict.INCONCLUSIVE]


def test_below_the_probe_floor_nothing_is_found():
    """A paired difference may be certain on this probe, and yet vanish on the next one."""
    blocks = np.random.default_rng(3).normal(size=B)
    found = difference(mean_of(blocks), mean_of(blocks + 1e-6), paired=True, margin=1e-9)
    assert found.p_value < 1e-6
    assert abs(found.delta) < found.floor
    assert decide([found])[0].verdict is Verdict.INCONCLUSIVE


def test_numbers_without_blocks_are_inconclusive_and_are_not_counted():
    lone = Estimated(per_row=np.array([1.0]), block_sizes=())
    blocks = np.random.default_rng(4).normal(size=B)
    clear = difference(mean_of(blocks), mean_of(blocks + 3), paired=True, margin=0.1)
    found = decide([difference(lone, lone, paired=True, margin=0.1), clear])
    assert found[0].verdict is Verdict.INCONCLUSIVE
    assert math.isnan(found[0].adjusted)
    assert found[1].adjusted == found[1].p_value


def test_identical_numbers_are_equal():
    blocks = mean_of(np.random.default_rng(5).normal(size=B))
    assert decide([difference(blocks, blocks, paired=True, margin=0.05)])[0].verdict is Verdict.EQUAL


def simulated(generator, shifts, paired):
    """One comparison of as many numbers as there are shifts, those in units of the standard error."""
    found = []
    for shift in shifts:
        a = generator.normal(size=B)
        own = generator.normal(size=B)
        # on one probe, half of the noise is common to both runs
        b = math.sqrt(0.5) * a + math.sqrt(0.5) * own if paired else own
        standard = np.std(b - a, ddof=1) / math.sqrt(B) if paired else math.sqrt(2 / B)
        found.append(difference(mean_of(a), mean_of(b + shift * standard), paired=paired, margin=0.05))
    return decide(found)


@pytest.mark.parametrize("paired", [True, False])
def test_at_most_one_comparison_in_twenty_reports_a_difference_that_is_not_there(paired):
    generator = np.random.default_rng(6)
    trials = 1000
    wrong = sum(
        any(d.verdict is Verdict.DIFFERENT for d in simulated(generator, [0.0] * 60, paired))
        for _ in range(trials)
    )
    # the rate aimed at, and two standard errors of 1,000 trials above it
    assert wrong / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_a_shift_of_three_standard_errors_is_found_nine_times_in_ten():
    """In a third of the layers, as a finding about a run is: not one number among sixty."""
    generator = np.random.default_rng(7)
    trials = 1000
    found = sum(
        any(
            d.verdict is Verdict.DIFFERENT
            for d in simulated(generator, [3.0] * 4 + [0.0] * 8, paired=False)[:4]
        )
        for _ in range(trials)
    )
    assert found / trials >= 0.9


def on_a_probe(found, times):
    """The same difference on a probe so many times as large."""
    noise = {name: getattr(found, name) / math.sqrt(times) for name in ("stderr", "floor")}
    size = abs(found.delta) - found.interpolated
    return replace(found, **noise, p_value=2 * student.sf(size / noise["stderr"], found.degrees))


NOISY = Difference(
    first=0.0,
    second=0.25,
    delta=0.25,
    stderr=0.25,
    floor=0.3,
    degrees=15,
    paired=True,
    margin=0.4,
    p_value=0.3,
    num_compared=60,
)


@pytest.mark.parametrize(
    "changes", [{}, {"floor": 4.0}, {"interpolated": 0.1}, {"delta": -0.25}, {"num_compared": 1}]
)
def test_the_probe_that_would_be_large_enough(changes):
    """Decided again among others that show nothing, it counts on that probe and not on a smaller one."""
    found = replace(NOISY, **changes)
    needed = sequences_to_differ(found, 1000) / 1000
    others = [replace(NOISY, delta=0.0, p_value=1.0)] * (found.num_compared - 1)
    for times, expected in ((needed, Verdict.DIFFERENT), (0.99 * needed, Verdict.INCONCLUSIVE)):
        bigger = replace(on_a_probe(found, times), margin=0.0)
        assert decide([bigger, *others])[0].verdict is expected


def test_no_probe_is_large_enough_for_what_interpolation_may_have_made():
    assert sequences_to_differ(replace(NOISY, interpolated=0.25), 64) is None
    assert sequences_to_differ(replace(NOISY, delta=0.0), 64) is None
    assert sequences_to_equal(replace(NOISY, interpolated=0.16), 64) is None


def test_the_probe_that_shows_equality_makes_the_interval_fit():
    needed = sequences_to_equal(replace(NOISY, interpolated=0.05), 10_000) / 10_000
    found = replace(NOISY, interpolated=0.05)
    assert reach(on_a_probe(found, needed)) == pytest.approx(0.4, rel=1e-4)


def test_interpolation_counts_against_both_verdicts():
    generator = np.random.default_rng(9)
    a = generator.normal(size=B)
    b = a + 0.01 * generator.normal(size=B) + 0.02
    plain, bent = ([mean_of(a), replace(mean_of(b), bend=bend)] for bend in (0.0, -0.04))
    same, unsure = (decide([difference(*pair, paired=True, margin=0.05)])[0] for pair in (plain, bent))
    assert (same.verdict, unsure.verdict) == (Verdict.EQUAL, Verdict.INCONCLUSIVE)
    alike = [replace(one, bend=-0.04) for one in plain]
    assert decide([difference(*alike, paired=True, margin=0.05)])[0].verdict is Verdict.EQUAL
    # without a third checkpoint nothing tells that they bend alike
    unknown = [replace(one, unbent=0.02) for one in plain]
    assert decide([difference(*unknown, paired=True, margin=0.05)])[0] == replace(unsure, interpolated=0.04)
    far = [mean_of(a), replace(mean_of(b + 2.0), bend=2.05)]
    (found,) = decide([difference(*far, paired=True, margin=0.05)])
    assert (found.p_value, found.verdict) == (1.0, Verdict.INCONCLUSIVE)
    near = [mean_of(a), replace(mean_of(b + 2.0), unbent=1.5)]
    assert decide([difference(*near, paired=True, margin=0.05)])[0].verdict is Verdict.DIFFERENT


def test_a_loss_with_blocks_of_its_own_adds_its_error():
    generator = np.random.default_rng(10)
    a, b, loss, other = generator.normal(size=(4, B))
    moved = [
        replace(mean_of(one), loss_rows=mean_of(noise).per_row - noise.mean(), loss_sizes=(16,) * B)
        for one, noise in ((a, loss), (b, loss + other))
    ]
    own = (b - a).std(ddof=1)
    found = difference(*moved, paired=True, margin=1.0)
    # on one probe the losses' common noise cancels, between two it does not
    assert found.stderr == pytest.approx(math.hypot(own, other.std(ddof=1)) / math.sqrt(B), rel=1e-9)
    parts = [x.std(ddof=1) for x in (a, b, loss, loss + other)]
    unpaired = difference(*moved, paired=False, margin=1.0)
    assert unpaired.stderr == found.floor == pytest.approx(math.hypot(*parts) / math.sqrt(B), rel=1e-9)
    # only one of the runs is interpolated
    lone = difference(mean_of(a), moved[1], paired=True, margin=1.0)
    assert lone.stderr == pytest.approx(math.hypot(own, (loss + other).std(ddof=1)) / math.sqrt(B), rel=1e-9)


def test_the_correction_is_scipys():
    p_values = np.random.default_rng(8).uniform(size=50) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p_values), false_discovery_control(p_values), rtol=1e-12)
    with_unknown = np.insert(p_values, 1, np.nan)
    np.testing.assert_array_equal(
        benjamini_hochberg(with_unknown), np.insert(benjamini_hochberg(p_values), 1, np.nan)
    )
