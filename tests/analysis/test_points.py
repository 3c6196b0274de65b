"""Numbers between two checkpoints: exact on lines, and moved with the loss of the probe."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.matching import Bracket
from spectra_cli.analysis.points import Point, log_noise_scales, spectra_at, spectrum_at
from spectra_cli.analysis.quantities import quantities
from spectra_cli.core.types import Scalar, Site
from spectra_cli.statistics.jackknife import with_replicates


@pytest.fixture
def two(sampled):
    """The same 64 directions, twice: at a later checkpoint the spectrum is steeper."""
    noise = np.random.default_rng(0).normal(size=(1024, 64))
    scales = np.arange(1, 65) ** -0.5
    return sampled(noise * scales), sampled(noise * scales**1.4)


def between(checkpoint, first, second, share, **changes):
    bracket = Bracket(before=0, after=1, share=share, gap=0.0)
    return Point(before=checkpoint([first]), after=checkpoint([second]), bracket=bracket, **changes)


def test_a_number_is_linear_between_its_checkpoints_with_its_replicates(checkpoint, two):
    at = {}
    for share in (0.0, 0.25, 1.0):
        point = between(checkpoint, *two, share)
        spectrum = spectrum_at(point, two[0], spectra_at(point))
        quantity = quantities(*two, ["head_exponent_1_10"])[0]
        at[share] = spectrum.number(quantity)
    expected = 0.75 * at[0.0].estimated.per_row + 0.25 * at[1.0].estimated.per_row
    np.testing.assert_allclose(at[0.25].estimated.per_row, expected, rtol=1e-12)
    off = abs(at[1.0].estimated.value - at[0.0].estimated.value) * 0.25
    assert at[0.25].interpolated == pytest.approx(off, rel=1e-12)


def test_a_spectrum_is_interpolated_in_its_logarithm(checkpoint, two):
    point = between(checkpoint, *two, 0.5)
    found = spectrum_at(point, two[0], spectra_at(point)).eigenvalues()
    expected = np.sqrt(with_replicates(two[0]) * with_replicates(two[1]))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_without_a_block_the_point_moves_with_the_loss():
    """A number that is a function of the loss alone has no error at equal loss."""
    early, late = np.array([3.0, 3.1, 2.9]), np.array([2.0, 2.1, 1.9])
    share, target = 0.5, 2.5
    bracket = Bracket(before=0, after=1, share=share, gap=0.0)
    noise = bracket.between(early, late) - target
    point = Point(before=object(), after=object(), bracket=bracket, loss_step=-1.0, loss_noise=noise)
    number = point.interpolate(7 * early, 7 * late)
    np.testing.assert_allclose(number, 7 * target, rtol=1e-12)
    # a vector likewise, entry by entry
    vector = point.interpolate(np.stack([early, 2 * early], 1), np.stack([late, 2 * late], 1))
    np.testing.assert_allclose(vector, np.tile([target, 2 * target], (3, 1)), rtol=1e-12)


def test_a_loss_without_blocks_moves_nothing(checkpoint, two):
    quiet = between(checkpoint, *two, 0.3, loss_step=-1.0)
    plain = between(checkpoint, *two, 0.3)
    rows = with_replicates(two[0]), with_replicates(two[1])
    np.testing.assert_array_equal(quiet.interpolate(*rows), plain.interpolate(*rows))


def test_a_number_that_one_checkpoint_lacks_is_none_with_its_reason(checkpoint, two):
    few = replace(two[1], zero_threshold=float(two[1].values[5]))
    point = between(checkpoint, two[0], few, 0.5)
    quantity = quantities(*two, ["head_exponent_1_10"])[0]
    found = spectrum_at(point, two[0], spectra_at(point)).number(quantity)
    assert math.isnan(found.estimated.value)
    assert "numerical zero" in found.reason


def test_other_blocks_at_the_later_checkpoint_are_another_measurement(checkpoint, two):
    other = replace(two[1], block_sizes=(*two[1].block_sizes[:-1], two[1].block_sizes[-1] - 1))
    point = between(checkpoint, two[0], other, 0.5)
    assert spectrum_at(point, two[0], spectra_at(point)) is None


def test_the_noise_scale_is_compared_by_its_logarithm(point):
    site = Site.parse("blocks.0.attn.o")
    scalars = [
        Scalar(
            name=name,
            site=site,
            measurement="gradient_covariance",
            value=value,
            unit="1",
            delete_one_block=np.array([value, 2 * value]),
            block_sizes=(4, 4),
        )
        for name, value in (("gradient_signal", 0.5), ("gradient_noise", 50.0))
    ]
    found = log_noise_scales(point([], scalars))[site].estimated
    assert found.per_row == pytest.approx([math.log(100.0)] * 3)
