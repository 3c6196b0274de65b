from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import Deferred, estimate, evaluate


def test_a_foreign_measurement_is_not_applicable(spectrum_of):
    found = evaluate(STATISTICS["condition"], spectrum_of([2.0, 1.0]), step=3)
    assert found.status == "not_applicable"
    assert "activation_covariance" in found.reason
    assert found.step == 3


def test_an_overflowing_spectrum_is_nonfinite(spectrum_of):
    found = evaluate(STATISTICS["stable_rank"], spectrum_of([1.7e308, 1.7e308]), step=0)
    assert found.status == "nonfinite"


def test_the_caller_may_bring_the_replicates(spectrum_of):
    spectrum = spectrum_of([4.0, 1.0], block_profile=[[5.0, 1.0], [3.0, 1.0]], block_sizes=(3, 3))
    found = evaluate(STATISTICS["stable_rank"], spectrum, step=0)
    # Without either block: [3, 1] and [5, 1], of stable rank 4/3 and 6/5; SE = |difference| / 2.
    assert found.stderr == pytest.approx((4 / 3 - 6 / 5) / 2, rel=1e-6)
    assert found.value == 1.25


def test_an_estimate_holds_the_number_without_each_block(spectrum_of):
    spectrum = spectrum_of([4.0, 1.0], block_profile=[[5.0, 1.0], [3.0, 1.0]], block_sizes=(3, 3))
    found = estimate(STATISTICS["stable_rank"], spectrum)
    np.testing.assert_allclose(found.per_row, [5 / 4, 4 / 3, 6 / 5], rtol=1e-6)
    assert found.value == evaluate(STATISTICS["stable_rank"], spectrum, step=0).value


def test_details_are_computed_when_looked_at_and_once():
    calls = []

    def compute():
        calls.append(1)
        return {"r_squared": 0.5}

    details = Deferred(compute)
    assert calls == []
    assert (details["r_squared"], dict(details), len(details)) == (0.5, {"r_squared": 0.5}, 1)
    assert "window_lo" not in details
    assert calls == [1]
