"""Loss curves with known parameters, and how often the intervals hold what comes."""

import math

import numpy as np
import pytest

from spectra_cli.analysis.loss_curve import (
    FEWEST_POINTS,
    LossCurve,
    back_test,
    continue_curve,
    fit_loss_curve,
)

TOKENS = np.geomspace(1e8, 1e9, 20)
TRUTH = LossCurve(floor=2.5, scale=0.8, exponent=0.4, unit=1e9)


def test_an_exact_curve_is_found_again():
    found = fit_loss_curve(TOKENS, TRUTH.at(TOKENS))
    # the exponent is the best of a grid with steps of 0.25 %
    assert found.exponent == pytest.approx(0.4, rel=3e-3)
    assert found.floor == pytest.approx(2.5, rel=3e-3)
    assert found.at(np.array([4e9])) == pytest.approx(TRUTH.at(np.array([4e9])), rel=1e-4)


def test_one_wild_checkpoint_changes_little():
    losses = TRUTH.at(TOKENS) + 0.003 * np.random.default_rng(0).normal(size=20)
    spiked = losses.copy()
    spiked[9] += 1.0
    ahead = np.array([2e9])
    clean, robust = (fit_loss_curve(TOKENS, y).at(ahead)[0] for y in (losses, spiked))
    assert robust == pytest.approx(clean, abs=0.02)


def test_a_covariate_that_moves_the_loss_is_found():
    rng = np.random.default_rng(1)
    covariate = rng.normal(size=20)
    found = fit_loss_curve(TOKENS, TRUTH.at(TOKENS) + 0.1 * covariate, covariate)
    assert found.slope == pytest.approx(0.1, abs=1e-3)
    drift, start = np.polyfit(np.log(TOKENS / 1e9), covariate, 1)
    assert (found.start, found.drift) == pytest.approx((start, drift), abs=1e-12)


def test_the_floor_is_never_negative():
    assert fit_loss_curve(TOKENS, 5.0 - np.log(TOKENS / 1e8)).floor >= 0.0


@pytest.mark.parametrize(
    ("tokens", "losses"),
    [(TOKENS[: FEWEST_POINTS - 1], np.ones(FEWEST_POINTS - 1)), (TOKENS, np.linspace(2.0, 3.0, 20))],
    ids=["too few points", "a loss that rises"],
)
def test_what_is_no_falling_curve_has_no_fit(tokens, losses):
    assert continue_curve(tokens, losses) is None


def test_tokens_to_a_target_have_a_closed_form():
    target = 2.9
    assert TRUTH.reaches(target) == pytest.approx(1e9 * (0.8 / 0.4) ** (1 / 0.4), rel=1e-4)
    assert math.isinf(TRUTH.reaches(2.4))


def test_the_interval_holds_the_loss_that_comes():
    rng = np.random.default_rng(2)
    ahead, trials, inside = 2e9, 60, 0
    for _ in range(trials):
        continued = continue_curve(TOKENS, TRUTH.at(TOKENS) + 0.01 * rng.normal(size=20))
        _, low, high = continued.loss(ahead, level=0.8)
        inside += low <= TRUTH.at(np.array([ahead]))[0] + 0.01 * rng.normal() <= high
    # 60 trials of 80 %: a standard error of 5 %; a bootstrap from 20 points is a little narrow
    assert 0.6 <= inside / trials <= 0.95


def test_the_interval_of_tokens_surrounds_the_estimate():
    continued = continue_curve(TOKENS, TRUTH.at(TOKENS) + 0.005 * np.random.default_rng(3).normal(size=20))
    value, low, high = continued.tokens_to(3.1, level=0.8)
    assert low <= value <= high
    assert low < TRUTH.reaches(3.1) < high


def test_the_back_test_sees_nothing_of_the_held_part():
    losses = TRUTH.at(TOKENS)
    found = back_test(TOKENS, losses)
    assert (found.num_fitted, found.num_held) == (14, 6)
    assert (found.last_fitted, found.last) == (TOKENS[13], TOKENS[-1])
    assert found.curve < 1e-4
    assert found.unchanged == pytest.approx(math.sqrt(float(((losses[14:] - losses[13]) ** 2).mean())))
    assert math.isnan(found.with_covariate)
    shifted = losses.copy()
    shifted[14:] += 0.5
    # the fit is the same, so that the error is all of the shift
    assert back_test(TOKENS, shifted).curve == pytest.approx(0.5, abs=1e-3)


def test_too_few_points_cannot_be_held_back():
    assert back_test(TOKENS[:7], TRUTH.at(TOKENS[:7])) is None
