"""The back-test of a loss curve, on curves with known parameters."""

import math

import numpy as np
import pytest

from spectra_cli.analysis.forecast.back_test import back_test
from spectra_cli.analysis.forecast.loss_curve import LossCurve

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
