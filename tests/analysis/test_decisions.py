"""Verdicts: closed forms, and their rates over simulated comparisons with known truth."""

import math

import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_1samp, ttest_ind

from spectra_cli.analysis.decisions import (
    Difference,
    Estimated,
    Verdict,
    benjamini_hochberg,
    decide,
    difference,
    sequences_needed,
)

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


def test_the_probe_that_would_be_large_enough():
    found = Difference(
        first=0.0,
        second=0.25,
        delta=0.25,
        stderr=0.25,
        floor=0.1,
        degrees=15,
        paired=True,
        margin=0.05,
        p_value=0.3,
    )
    assert sequences_needed(found, 64) == 576


def test_the_correction_is_scipys():
    p_values = np.random.default_rng(8).uniform(size=50) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p_values), false_discovery_control(p_values), rtol=1e-12)
