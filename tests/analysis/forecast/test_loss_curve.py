"""Loss curves with known parameters, and how often the intervals hold what comes."""

import math

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from spectra_cli.analysis.forecast import loss_curve
from spectra_cli.analysis.forecast.loss_curve import FEWEST_POINTS, LossCurve, continue_curve, fit_loss_curve

TOKENS = np.geomspace(1e8, 1e9, 20)
TRUTH = LossCurve(floor=2.5, scale=0.8, exponent=0.4, unit=1e9)


def test_an_exact_curve_is_found_again():
    found = fit_loss_curve(TOKENS, TRUTH.at(TOKENS))
    # the lowest point of a parabola over a grid with steps of 5 %
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


@pytest.mark.parametrize("number", [pytest.param(8, marks=pytest.mark.slow), 12, 20])
def test_the_intervals_hold_what_comes(number, monkeypatch):
    """200 curves of known truth: the loss measured at twice the tokens, and the tokens to a lower loss."""
    monkeypatch.setattr(loss_curve, "REPLICATES", 100)
    rng = np.random.default_rng(2)
    tokens, ahead, target, trials = np.geomspace(1e8, 1e9, number), 2e9, 3.15, 200
    held = reached = 0
    for _ in range(trials):
        continued = continue_curve(tokens, TRUTH.at(tokens) + 0.01 * rng.normal(size=number))
        _, low, high = continued.loss(ahead, level=0.9)
        held += low <= TRUTH.at(np.array([ahead]))[0] + 0.01 * rng.normal() <= high
        _, low, high = continued.tokens_to(target, level=0.9)
        reached += low <= TRUTH.reaches(target) <= high
    # three standard errors of 200 trials of 90 % are 6.4 %
    assert held / trials == pytest.approx(0.9, abs=0.064)
    assert reached / trials == pytest.approx(0.9, abs=0.064)


def test_replicates_that_never_get_there_leave_the_interval_open():
    """A floor that the points do not tell: every replicate counts, also those that lie above the target."""
    losses = TRUTH.at(TOKENS) + 0.02 * np.random.default_rng(4).normal(size=20)
    continued = continue_curve(TOKENS, losses)
    assert len(continued.replicates) == loss_curve.REPLICATES
    target = 2.7
    assert 0 < sum(math.isinf(curve.reaches(target)) for curve in continued.replicates) < 400
    low, high = continued.tokens_to(target, level=0.9)[1:]
    assert TOKENS[-1] < low < TRUTH.reaches(target) < high == math.inf


def test_a_replicate_that_does_not_fall_is_flat_and_counts():
    rng = np.random.default_rng(5)
    losses = 3.0 - 1e-3 * np.log(TOKENS / 1e8) + 0.05 * rng.normal(size=20)
    continued = continue_curve(TOKENS, losses)
    flat = [curve for curve in continued.replicates if curve.scale == 0]
    assert 20 < len(flat) < 380
    assert all(math.isinf(curve.reaches(2.0)) for curve in flat)


def test_replicates_scatter_around_the_curve():
    """Residuals are drawn as they are, around the curve as it is: neither shifts the mean of the fits."""
    losses = TRUTH.at(TOKENS) + 0.01 * np.random.default_rng(6).normal(size=20)
    losses[4] += 0.3
    continued = continue_curve(TOKENS, losses)
    assert continued.residuals.max() > 0.3
    middle = np.array([3e8])
    fits = np.array([curve.at(middle)[0] for curve in continued.replicates])
    assert np.median(fits) == pytest.approx(continued.curve.at(middle)[0], abs=0.2 * fits.std())


def test_residuals_that_go_together_are_told_from_independent_ones():
    smooth = 0.01 * np.sin(np.arange(20) / 2)
    assert continue_curve(TOKENS, TRUTH.at(TOKENS) + smooth).autocorrelation > 0.6
    rough = 0.01 * np.random.default_rng(7).normal(size=20)
    assert continue_curve(TOKENS, TRUTH.at(TOKENS) + rough).autocorrelation < 0.45


@pytest.mark.parametrize("free", [(0, 1, 2), (1, 2), (0, 2), (2,)])
def test_bounded_least_squares_is_scipys(free):
    """Coefficients that noise pushes below zero are zero; the last one is free."""
    rng = np.random.default_rng(8)
    truth = np.where(np.isin(np.arange(3), free), [1.0, 2.0, -1.0], -1.0)
    design = rng.normal(size=(30, 3))
    losses = design @ truth + 0.1 * rng.normal(size=30)
    found, errors = loss_curve._Bounded(design).solve(losses[:, None])
    expected = lsq_linear(design, losses, bounds=([0, 0, -np.inf], np.inf), tol=1e-12)
    np.testing.assert_allclose(found[:, 0], expected.x, atol=1e-6)
    assert errors[0] == pytest.approx(2 * expected.cost, rel=1e-9)


def test_the_interval_of_tokens_surrounds_the_estimate():
    continued = continue_curve(TOKENS, TRUTH.at(TOKENS) + 0.005 * np.random.default_rng(3).normal(size=20))
    value, low, high = continued.tokens_to(3.1, level=0.8)
    assert low <= value <= high
    assert low < TRUTH.reaches(3.1) < high
