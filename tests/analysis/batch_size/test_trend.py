"""Slopes with batch size: exact lines, coverage and false positives over simulated families of runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student

from spectra_cli.analysis.batch_size.across_runs import AcrossRuns
from spectra_cli.analysis.batch_size.trend import (
    Direction,
    batch_trends,
    caveats,
    why_no_trend,
)
from spectra_cli.analysis.estimates import Estimated
from spectra_cli.core.types import CheckpointInfo, Site

B = 16
SIZES = [2**k * 4096 for k in range(4)]
SITE = Site.parse("blocks.0.resid_post")


def estimated(values_RB):
    """One `Estimated` a run: the mean over blocks, and without each."""
    values_RB = np.asarray(values_RB, dtype=float)
    means = values_RB.mean(1)
    without = (values_RB.sum(1)[:, None] - values_RB) / (B - 1)
    rows = np.concatenate([means[:, None], without], axis=1)
    return tuple(Estimated(per_row=row, block_sizes=(8,) * B) for row in rows)


def across(runs, **changes):
    fields = {
        "measurement": "activation_covariance",
        "statistic": "head_exponent_1_10",
        "site": SITE,
        "target": 3.0,
        "runs": runs,
        "margin": 0.05,
    }
    return AcrossRuns(**{**fields, **changes})


def lone(values):
    """Numbers without blocks, as those of weights."""
    return tuple(Estimated(per_row=np.array([v]), block_sizes=()) for v in values)


def only(runs, sizes, *, paired=True, **changes):
    return batch_trends([across(runs, **changes)], sizes, paired=paired)[0]


def test_an_exact_line_has_its_slope_and_no_scatter():
    found = only(lone([1.0, 1.25, 1.5, 1.75]), SIZES, measurement="weight")
    # processors add up four products in different orders: the last bit of the slope may differ
    quarter = pytest.approx(0.25, rel=4 * np.finfo(float).eps)
    assert (found.slope, found.low, found.high) == (quarter, quarter, quarter)
    assert (found.scatter, found.stderr, found.p_value) == (0.0, 0.0, 0.0)
    assert found.order is found.verdict is Direction.RISING


def test_a_flat_line_is_flat():
    found = only(lone([1.5] * 4), SIZES, measurement="weight")
    assert (found.slope, found.p_value) == (0.0, 1.0)
    assert (found.order, found.verdict) == (None, Direction.FLAT)


def test_without_blocks_it_is_ordinary_regression():
    sizes = [1000, 1700, 9000, 20_000, 20_000]
    y = np.random.default_rng(0).normal(size=5)
    found = only(lone(y), sizes, measurement="weight")
    expected = linregress(np.log2(sizes), y)
    assert found.slope == pytest.approx(expected.slope, rel=1e-12)
    assert found.scatter == pytest.approx(expected.stderr, rel=1e-12)
    # bisection of log p: 37 / 2^36
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    reach = student.ppf(0.975, 3) * expected.stderr
    assert found.high == pytest.approx(expected.slope + reach, rel=1e-12)
    assert math.isnan(found.noise)


def test_the_interval_ends_at_zero_where_p_is_one_in_twenty():
    blocks = np.random.default_rng(1).normal(size=(5, B))
    sizes = [*SIZES, 2**16]
    found = only(estimated(blocks), sizes)
    half = (found.high - found.low) / 2
    # a number whose slope is moved to the interval's end, by a line that adds no scatter
    x = np.log2(sizes)
    moved = only(estimated(blocks + (half - found.slope) * x[:, None]), sizes)
    assert moved.slope == pytest.approx(half, rel=1e-9)
    assert moved.p_value == pytest.approx(0.05, rel=1e-9)


def test_noise_common_to_all_runs_cancels_on_one_probe():
    common = np.random.default_rng(2).normal(size=B)
    runs = estimated(common[None, :] + np.array([0.0, 0.1, 0.2, 0.3])[:, None])
    together, apart = only(runs, SIZES), only(runs, SIZES, paired=False)
    assert together.noise < 1e-12
    # the jackknife of a mean of independent blocks, carried through the weights of the regression
    expected = common.std(ddof=1) / math.sqrt(B) / math.sqrt(5.0)  # S_xx of 0, 1, 2, 3 is 5
    assert apart.noise == apart.floor == together.floor == pytest.approx(expected, rel=1e-9)


def test_below_the_probe_floor_there_is_no_trend():
    """Certain on this probe, and yet another one may show nothing."""
    common = np.random.default_rng(3).normal(size=B)
    found = only(estimated(common[None, :] + 1e-6 * np.arange(4)[:, None]), SIZES, margin=1e-9)
    assert found.p_value < 1e-6
    assert found.verdict is Direction.INCONCLUSIVE


def test_noise_along_the_batch_size_is_carried_though_no_run_leaves_the_line():
    """The probe tilts the line: residuals cannot show it, the blocks can."""
    tilt = np.random.default_rng(4).normal(size=B)
    found = only(estimated(np.arange(4)[:, None] * tilt[None, :]), SIZES)
    assert found.scatter < 1e-12
    assert found.noise == pytest.approx(tilt.std(ddof=1) / math.sqrt(B), rel=1e-9)


def test_seeds_of_one_size_count_as_replicates():
    sizes = [1, 1, 2, 2, 4, 4]
    found = only(lone([0.9, 1.1, 1.9, 2.1, 2.9, 3.1]), sizes, measurement="weight")
    assert found.order is Direction.RISING
    assert found.degrees == 4
    # residuals are 0.1 six times over, S_xx is 4
    assert found.scatter == pytest.approx(math.sqrt(6 * 0.01 / 4 / 4), rel=1e-9)


def test_a_run_without_the_number_is_left_out_and_too_few_are_not_counted():
    blocks = np.random.default_rng(5).normal(size=(4, B))
    gap = across((None, *estimated(blocks)[1:]))
    empty = across((None, None, *estimated(blocks)[2:]))
    three, two, alone = (*batch_trends([gap, empty], SIZES, paired=True), only(gap.runs, SIZES))
    assert (three.num_runs, two.num_runs) == (3, 2)
    assert math.isnan(two.slope)
    assert two.verdict is Direction.INCONCLUSIVE
    assert three.adjusted == alone.adjusted


def simulate(generator, sizes, *, trials, slope=0.0, scatter=1.0, own=0.0, tilt=0.0):
    """Numbers with scatter of the runs, noise of each on the probe, and a probe that tilts the line."""
    x = np.log2(sizes)
    n = len(sizes)
    for _ in range(trials):
        blocks = np.tile((slope * x)[:, None], (1, B))
        blocks += scatter * generator.normal(size=(n, 1)) + generator.normal(size=B)
        blocks += own * math.sqrt(B) * generator.normal(size=(n, B))
        blocks += tilt * math.sqrt(B) * np.outer(x - x.mean(), generator.normal(size=B))
        yield across(estimated(blocks))


@pytest.mark.parametrize(
    ("num_runs", "noise"),
    [
        (3, {"scatter": 1.0}),
        (3, {"scatter": 0.0, "own": 1.0}),
        (3, {"scatter": 0.2, "own": 0.2, "tilt": 0.3}),
        (5, {"scatter": 1.0, "own": 1.0}),
        (5, {"scatter": 0.01, "tilt": 1.0}),
    ],
)
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(num_runs, noise):
    trials, truth = 1000, 0.7
    sizes = [2**k for k in range(num_runs)]
    numbers = list(simulate(np.random.default_rng(6), sizes, trials=trials, slope=truth, **noise))
    covered = sum(t.low <= truth <= t.high for t in batch_trends(numbers, sizes, paired=True)) / trials
    # two standard errors of 1,000 trials below 95 %
    assert covered >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / trials)


@pytest.mark.parametrize("num_runs", [3, 6])
def test_at_most_one_family_in_twenty_shows_a_trend_that_is_not_there(num_runs):
    """Six numbers in each of 1,000 families of runs, corrected for six."""
    trials, sizes = 1000, [2**k for k in range(num_runs)]
    generator = np.random.default_rng(7)
    wrong = 0
    for _ in range(trials):
        found = batch_trends(list(simulate(generator, sizes, trials=6, own=0.5)), sizes, paired=True)
        wrong += any(t.verdict in (Direction.RISING, Direction.FALLING) for t in found)
    assert wrong / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_a_strong_trend_over_six_runs_is_found():
    sizes = [2**k for k in range(6)]
    generator = np.random.default_rng(8)
    # slope of eight standard errors of its scatter (S_xx of six steps is 17.5)
    planted = list(simulate(generator, sizes, trials=200, slope=8 / math.sqrt(17.5)))
    found = batch_trends(planted, sizes, paired=True)
    assert np.mean([t.verdict is Direction.RISING for t in found]) >= 0.9


def test_what_keeps_runs_from_a_trend_is_said():
    assert why_no_trend([1, 2, 4]) == ""
    assert "2 batch sizes (8, 16 tokens)" in why_no_trend([8, 16, 16])
    assert "1 of 3 runs does not say" in why_no_trend([8, 16, None])


def test_caveats_name_what_else_differs_and_how_wide_three_runs_are():
    info = CheckpointInfo(num_parameters=10, family="llama", architecture="x", learning_rate=1e-3)
    faster = replace(info, learning_rate=2e-3)
    (width,) = caveats([info] * 3)
    assert "1 degree of freedom" in width
    assert "12.7 standard errors" in width
    assert any("learning rate" in line for line in caveats([info, info, faster, faster]))


def test_an_unknown_noise_of_the_probe_is_not_none():
    """Only weights are measured without noise: elsewhere nothing follows from a slope without blocks."""
    found = only(lone([1.0, 1.25, 1.5, 1.75]), SIZES)
    assert math.isnan(found.p_value)
    assert math.isnan(found.stderr)
    assert math.isnan(found.low)
    assert found.verdict is Direction.INCONCLUSIVE


def test_interpolation_widens_the_interval_and_enters_the_verdict():
    values = [1.0, 1.25, 1.5, 1.75]
    plain = only(lone(values), SIZES, measurement="weight")
    alike = tuple(replace(one, bend=0.02) for one in lone(values))
    assert only(alike, SIZES, measurement="weight").interpolated == pytest.approx(0.0, abs=1e-12)
    runs = tuple(replace(one, unbent=0.02) for one in lone(values))
    found = only(runs, SIZES, measurement="weight")
    # weights of sizes at -1.5, -0.5, 0.5, 1.5 doublings from their mean: 0.3, 0.1, 0.1, 0.3
    assert found.interpolated == pytest.approx(0.8 * 0.02)
    assert (found.low, found.high) == pytest.approx((plain.low - 0.016, plain.high + 0.016))
    vague = only(tuple(replace(one, unbent=0.4) for one in runs), SIZES, measurement="weight")
    assert (plain.verdict, vague.verdict) == (Direction.RISING, Direction.INCONCLUSIVE)


def test_losses_with_blocks_of_their_own_add_their_noise():
    values = np.random.default_rng(5).normal(size=(4, B))
    loss = np.random.default_rng(6).normal(size=(4, B))
    runs = tuple(
        replace(one, loss_rows=two.per_row - two.value, loss_sizes=(16,) * B)
        for one, two in zip(estimated(values), estimated(loss), strict=True)
    )
    quiet, alone, found = (only(of, SIZES) for of in (estimated(values), estimated(loss), runs))
    assert found.noise == pytest.approx(math.hypot(quiet.noise, alone.noise), rel=1e-9)
    assert found.floor == pytest.approx(math.hypot(quiet.floor, alone.floor), rel=1e-9)
