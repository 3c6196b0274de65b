"""Gaps between spectra: what a loss with blocks of its own, and interpolation, do to them."""

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.compare.aligned.points import Point
from spectra_cli.analysis.compare.aligned.spectra_at import arounds, spectra_at
from spectra_cli.analysis.compare.distances.gaps import gaps_between, norm_of, sampled
from spectra_cli.analysis.compare.distances.spectra import distances
from spectra_cli.analysis.compare.quantities import (
    HEAD_LOG_DISTANCE,
    HEAD_RANKS,
    JENSEN_SHANNON,
    TAIL_LOG_DISTANCE,
    tail_window,
)
from spectra_cli.statistics.jackknife import standard_error

D, B = 64, 16
RANKS = np.arange(1, D + 1)
# 128 sequences, where the settings say 64 for the activations
LOSS_SIZES = (8,) * B
# along the bracket both spectra get steeper by 0.4 a nat
STEEPER = 0.4


@pytest.fixture
def quiet(sampled):
    """A spectrum of this exponent whose blocks all agree."""
    measured = sampled(np.random.default_rng(0).normal(size=(1024, D)))

    def make(exponent):
        values = 3.0 * RANKS**-exponent
        return replace(measured, values=values, block_profile=np.tile(values, (B, 1)))

    return make


@pytest.fixture
def between(quiet, checkpoint):
    """A run half-way between two checkpoints a nat apart, whose exponent starts at this."""

    def make(exponent, loss=0.0, **bracket):
        ends = quiet(exponent), quiet(exponent + STEEPER)
        third = checkpoint([quiet(bracket.pop("bent"))]) if "bent" in bracket else None
        point = Point(
            before=checkpoint(ends[:1]),
            after=checkpoint(ends[1:]),
            third=third,
            bracket=Bracket(before=0, after=1, share=0.5, gap=0.0, **bracket),
            loss_step=-1.0,
            loss_noise=np.concatenate([[0.0], loss * np.ones(B)]) if np.isscalar(loss) else loss,
            loss_sizes=LOSS_SIZES,
        )
        return spectra_at(point, list(arounds(point).values()))

    return make


def noise_of_loss(seed):
    """(1 + B,) of standard deviation 0.01 about 0."""
    return np.concatenate([[0.0], 0.01 * np.random.default_rng(seed).normal(size=B)])


def distance_of(first, second, name):
    """One distance of two spectra on one probe."""
    (((_, found, _),),) = distances(first, second, [name], paired=True)
    return found


def head_of(exponent):
    logs = exponent * np.log(RANKS[:HEAD_RANKS])
    return (logs - logs.mean()) / np.sqrt(HEAD_RANKS)


@pytest.mark.parametrize("paired", [True, False])
def test_the_noise_of_the_loss_is_that_of_the_exponent_it_moves(between, paired):
    losses = noise_of_loss(1), noise_of_loss(2)
    runs = [sampled(between(1.0, loss), D, None) for loss in losses]
    gaps = gaps_between(HEAD_LOG_DISTANCE, *runs, paired=paired)
    unit = np.linalg.norm(head_of(STEEPER))
    moved = norm_of(HEAD_LOG_DISTANCE, gaps.moved)[0]
    assert norm_of(HEAD_LOG_DISTANCE, gaps.noise)[0, :-2].max() < 1e-7
    if paired:  # on one probe: that of the difference of both losses
        difference = unit * standard_error(losses[1] - losses[0], LOSS_SIZES)
        assert np.linalg.norm(moved) == pytest.approx(difference, rel=1e-6)
        same = gaps_between(HEAD_LOG_DISTANCE, runs[0], runs[0], paired=True)
        assert np.abs(same.moved).max() < 1e-9
    else:
        errors = [unit * standard_error(loss, LOSS_SIZES) for loss in losses]
        np.testing.assert_allclose(moved, errors, rtol=1e-6)


def test_a_distance_has_the_error_of_the_loss(between):
    """Nothing else is noisy: without it, a hair's breadth would be told from nothing."""

    def distance(*losses):
        runs = [
            between(start, loss, third=2, place=2.0, bent=start + 2 * STEEPER)
            for start, loss in zip((1.0, 1.002), losses, strict=True)
        ]
        return distance_of(*runs, JENSEN_SHANNON)

    found, sure = distance(noise_of_loss(1), noise_of_loss(2)), distance(0.0, 0.0)
    assert sure.p_value < 1e-6 < 0.05 < found.p_value
    assert found.stderr > 0
    assert found.floor > found.delta


def test_what_interpolation_may_have_got_wrong_in_a_distance_is_that_of_both_spectra(between):
    """A third checkpoint two brackets on, whose exponent is not on the line."""
    bent = {"third": 2, "place": 3.0, "bent": 1.0 + 3 * STEEPER + 0.24}
    first, second = between(1.0, **bent), between(1.0, 0.0)
    window = tail_window(first.some)
    found = distance_of(first, second, TAIL_LOG_DISTANCE)
    # half-way, the parabola is 0.24 / (3 * 2) / 4 = 0.01 of an exponent off the line; without a third
    # checkpoint the nearer one is half of the bracket's change away
    spread = np.log(RANKS[window[0] - 1 : window[1]]).std()
    assert found.delta == pytest.approx(0.0, abs=1e-9)
    assert found.interpolated == pytest.approx((0.01 + STEEPER / 2) * spread, rel=1e-6)
    assert found.p_value == 1.0
    # two that bend alike are off alike
    alike = distance_of(first, first, TAIL_LOG_DISTANCE)
    assert alike.interpolated == pytest.approx(0.0, abs=1e-9)
