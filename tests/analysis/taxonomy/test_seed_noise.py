"""The replicate floor: its value by hand, and how often another seed passes for a change."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from spectra_cli.analysis.compare.decisions import Difference, Verdict
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.taxonomy.seed_noise import seed_noise
from spectra_cli.core.errors import UsageError
from spectra_cli.core.types import Site

KEY = ("activation_covariance", "head_exponent_1_10")


def item(delta, layer=0, statistic=KEY[1], **changes):
    fields = {
        "first": 1.0,
        "second": 1.0 + delta,
        "delta": delta,
        "stderr": 1e-6,
        "floor": 1e-6,
        "degrees": 15,
        "paired": True,
        "margin": 0.05,
        "p_value": 0.0,
        "adjusted": 0.0,
        "verdict": Verdict.DIFFERENT,
    }
    site = Site(layer=layer, component="resid_post")
    return SiteDifference(
        measurement=KEY[0],
        statistic=statistic,
        site=site,
        other=site,
        target=3.0,
        found=Difference(**{**fields, **changes}),
    )


def test_the_floor_is_that_of_the_difference_of_two_seeds():
    # seeds at 0, 0.1, 0.2 in one layer and 0, 0, 0.3 in the other: variances 0.01 and 0.03
    noise = seed_noise([[item(0.1), item(0.0, 1)], [item(0.2), item(0.3, 1)]])
    assert noise.num_seeds == 3
    assert noise.apart[KEY] == pytest.approx(math.sqrt(2 * 0.02), rel=1e-12)
    assert noise.floor(*KEY) == pytest.approx(student.ppf(0.975, 2) * math.sqrt(0.04), rel=1e-12)


def test_distances_between_seeds_are_taken_as_they_are():
    noise = seed_noise([[item(0.3, statistic="head_movement")], [item(0.4, statistic="head_movement")]])
    assert noise.apart[KEY[0], "head_movement"] == pytest.approx(math.sqrt(0.125), rel=1e-12)


def test_two_seeds_are_too_few():
    with pytest.raises(UsageError, match="2 seeds of the baseline's recipe"):
        seed_noise([[item(0.1)]])


def test_verdicts_about_recipes():
    noise = seed_noise([[item(0.001)], [item(-0.001)]])  # apart by 0.0014
    assert noise.verdict(item(0.1)) is Verdict.DIFFERENT
    # certain between these two checkpoints, but no more than another seed does: and within the margin
    assert noise.verdict(item(0.005)) is Verdict.EQUAL
    # nor where interpolation may have hidden a difference
    assert noise.verdict(item(0.005, interpolated=0.05)) is Verdict.INCONCLUSIVE
    loud = seed_noise([[item(0.1)], [item(-0.1)]])
    assert loud.verdict(item(0.2)) is Verdict.INCONCLUSIVE
    # equal checkpoints of recipes whose seeds differ by more than the margin: not equal recipes
    assert loud.verdict(item(0.0, verdict=Verdict.EQUAL)) is Verdict.INCONCLUSIVE


def test_a_number_that_no_replicate_has_is_inconclusive():
    noise = seed_noise([[item(math.nan)], [item(0.1)]])
    assert noise.verdict(item(1.0)) is Verdict.INCONCLUSIVE


def test_another_seed_seldom_passes_for_a_change():
    """Sites move together. Twice the standard deviation of three seeds is passed much oftener."""
    trials = 2000
    generator = np.random.default_rng(0)
    ours = theirs = 0
    for baseline, *others, changed in generator.normal(size=(trials, 4)):
        noise = seed_noise([[item(seed - baseline)] for seed in others])
        ours += noise.verdict(item(changed - baseline)) is Verdict.DIFFERENT
        theirs += abs(changed - baseline) >= 2 * np.std([baseline, *others], ddof=1)
    # the baseline is one of the three seeds, so that 5 % is not exact; 2 SD: see the module
    assert ours / trials <= 0.06
    assert theirs / trials >= 0.25
