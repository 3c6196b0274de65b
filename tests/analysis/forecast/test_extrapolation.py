"""A single run's loss curve continued."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spectra_cli.analysis.forecast.extrapolation import PLAIN, WITH_SPECTRUM, back_test
from spectra_cli.analysis.forecast.loss_curve import LossCurve
from spectra_cli.analysis.forecast.request import ForecastRequest
from spectra_cli.core.errors import DataError
from spectra_cli.workflows.forecast import extrapolate

TOKENS = np.geomspace(1e8, 1e9, 20)
TRUTH = LossCurve(floor=2.5, scale=0.8, exponent=0.4, unit=1e9)


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


STEPS = [0, *(int(s) for s in np.geomspace(10, 1000, 24))]


def planted(steps):
    return [6.0 if s == 0 else 2.5 + 0.8 * (s / 1000) ** -0.4 for s in steps]


@pytest.fixture
def run(tmp_path, monkeypatch, write_run):
    monkeypatch.chdir(tmp_path)

    def make(**changes):
        given = {"steps": STEPS, "losses": planted(STEPS), "exponents": np.linspace(1, 1.5, len(STEPS))}
        write_run(tmp_path / "run.spectra.h5", **{**given, **changes})
        return "run"

    return make


def test_an_exact_curve_is_continued(run):
    found = extrapolate(ForecastRequest(archives=(run(),), target_loss=3.1))
    assert [fit.name for fit in found.fits] == [PLAIN, WITH_SPECTRUM]
    plain = found.fits[0]
    assert [tokens for tokens, _ in plain.losses] == [1.5e6, 2e6, 4e6]
    for tokens, loss in plain.losses:
        assert loss.value == pytest.approx(planted([tokens / 1000])[0], abs=1e-3)
        # without noise, what is left is the rounding of the exponent: a parabola over a grid
        assert loss.high - loss.low < 1e-3
    assert plain.to_target.value == pytest.approx(1e6 * (0.8 / 0.6) ** 2.5, rel=0.02)
    assert math.isnan(found.reached)
    assert found.test.curve < 1e-3 < found.test.unchanged


def test_the_fit_leaves_the_first_tenth_out(run):
    found = extrapolate(ForecastRequest(archives=(run(),)))
    assert found.first >= 1e5
    assert found.num_points == sum(step >= 100 for step in STEPS)


def test_a_target_already_reached_says_where(run):
    found = extrapolate(ForecastRequest(archives=(run(),), target_loss=3.5))
    assert found.reached < 1e6
    assert not found.started_below
    assert {fit.to_target for fit in found.fits} == {None}


def test_a_run_that_starts_below_the_target_has_no_tokens_to_it(run):
    found = extrapolate(ForecastRequest(archives=(run(),), target_loss=7.0))
    assert found.started_below
    assert math.isnan(found.reached)
    assert {fit.to_target for fit in found.fits} == {None}


def test_a_missing_tail_leaves_the_curve_alone(run):
    found = extrapolate(ForecastRequest(archives=(run(width=40),)))
    assert [fit.name for fit in found.fits] == [PLAIN]
    assert any("no tail_exponent_scaled to go by" in notice for notice in found.notices)
    assert math.isnan(found.test.with_covariate)


def test_a_schedule_that_decays_is_said(run):
    found = extrapolate(
        ForecastRequest(archives=(run(learning_rate=np.linspace(1e-3, 0, len(STEPS)).tolist()),))
    )
    assert any("learning rate went from" in notice for notice in found.notices)


def test_a_rising_loss_is_not_continued(run):
    found = extrapolate(ForecastRequest(archives=(run(losses=np.linspace(2, 4, len(STEPS))),)))
    assert found.fits == ()
    assert any("no falling curve" in notice for notice in found.notices)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": [100], "losses": [3.0], "exponents": 1.0}, r"1 trained checkpoint.*needs 5"),
        ({"losses": None}, r"no loss to go by"),
        ({"steps": [None] * 6, "losses": [3.0] * 6, "exponents": 1.0}, r"no checkpoint says its steps"),
    ],
    ids=["a single checkpoint", "no loss", "no position"],
)
def test_what_cannot_be_continued_says_why(run, changes, words):
    with pytest.raises(DataError, match=words):
        extrapolate(ForecastRequest(archives=(run(**changes),)))


def test_without_tokens_it_is_over_steps(run):
    found = extrapolate(ForecastRequest(archives=(run(tokens_a_step=None),)))
    assert (found.unit, found.last) == ("steps", 1000)
    assert any("in steps" in notice for notice in found.notices)


def test_too_few_checkpoints_are_not_tested(run):
    steps = [10, 20, 50, 100, 200]
    found = extrapolate(ForecastRequest(archives=(run(steps=steps, losses=planted(steps), exponents=1.0),)))
    assert found.test is None
    assert any("too few for a curve with the spectrum" in notice for notice in found.notices)


def test_a_fit_that_reaches_into_the_first_tenth_says_so(run):
    steps = [10, 20, 30, 50, 100, 200, 500, 1000]
    found = extrapolate(ForecastRequest(archives=(run(steps=steps, losses=planted(steps), exponents=1.0),)))
    assert found.num_points == 8
    assert any("the last 8 are fitted, from 10k tokens on" in notice for notice in found.notices)
    assert not any("first tenth" in n for n in extrapolate(ForecastRequest(archives=(run(),))).notices)
