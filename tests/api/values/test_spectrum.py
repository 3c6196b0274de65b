from __future__ import annotations

import math

import numpy as np
import pytest

from spectra_cli.api.values.spectrum import MeasuredSpectrum
from spectra_cli.core.errors import UsageError
from spectra_cli.workflows.show import show
from tests.builders.spectra import spectrum_of_rows, weight


def test_numbers_are_those_that_show_prints(run, seeded):
    for value in show(seeded, steps=[10], statistics=["rankme_cov"]).series[0].statistics:
        one = run.spectrum(10, value.site.address, value.measurement)
        assert one.statistic("rankme_cov").value == value.value
        assert one.standard_error("rankme_cov") == pytest.approx(value.stderr, nan_ok=True, rel=0)


def test_a_standard_error_of_ones_own_statistic_is_that_of_the_registry(run):
    one = run.spectrum(15, "blocks.0.resid_post")

    def top1_share(eigenvalues):
        return eigenvalues[0] / eigenvalues.sum()

    assert one.standard_error(top1_share) == pytest.approx(one.standard_error("top1_share"), rel=1e-12)
    assert one.statistic("top1_share").value == top1_share(one.eigenvalues)


def test_a_standard_error_is_the_scatter_of_other_probes():
    """Against brute force: the trace of 400 probes of 160 rows; the jackknife's mean is within 10 %."""
    rng = np.random.default_rng(0)
    found = [
        MeasuredSpectrum(spectrum=spectrum_of_rows(rng.standard_normal((160, 4))), step=0) for _ in range(400)
    ]
    scatter = np.std([one.values.sum() for one in found])
    assert np.mean([one.standard_error(np.sum) for one in found]) == pytest.approx(scatter, rel=0.1)


def test_without_a_block_it_has_one_row_a_block(run):
    one = run.spectrum(10, "blocks.0.attn.q", "uncentred-gradients")
    assert one.delete_one_block.shape == (3, one.values.size)
    np.testing.assert_allclose(one.eigenvalues, one.values**2)


def test_weights_have_no_blocks_and_no_error():
    one = MeasuredSpectrum(spectrum=weight(np.arange(6.0, 0.0, -1)), step=3)
    assert one.delete_one_block.shape == (0, 6)
    assert math.isnan(one.standard_error("rankme_cov"))
    assert math.isnan(one.standard_error(np.sum))


def test_a_statistic_that_is_not_known_is_refused(run):
    with pytest.raises(UsageError, match=r"'rankme' \(did you mean rankme_cov or rankme_sv\?\)"):
        run.spectrum(10, "blocks.0.resid_post").statistic("rankme")
