"""Numbers between two checkpoints: exact on lines, and moved with the loss of the probe."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.analysis.alignment import align
from spectra_cli.analysis.brackets import Bracket
from spectra_cli.analysis.compare.aligned.points import (
    Point,
    log_noise_scales,
    nearest_to_last_point,
    points_of,
)
from spectra_cli.analysis.compare.aligned.spectra_at import arounds, spectra_at, why_not_between
from spectra_cli.analysis.compare.quantities import quantities
from spectra_cli.analysis.run import Axis
from spectra_cli.core.types import Scalar, Site, Status
from spectra_cli.statistics.jackknife import standard_error, with_replicates
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import estimate
from spectra_cli.workflows.runs import open_runs


@pytest.fixture
def two(sampled):
    """The same 64 directions, twice: at a later checkpoint the spectrum is steeper."""
    noise = np.random.default_rng(0).normal(size=(1024, 64))
    scales = np.arange(1, 65) ** -0.5
    return sampled(noise * scales), sampled(noise * scales**1.4)


def between(checkpoint, first, second, share, **changes):
    bracket = Bracket(before=0, after=1, share=share, gap=0.0)
    return Point(before=checkpoint([first]), after=checkpoint([second]), bracket=bracket, **changes)


def all_at(point):
    """The spectra of a point, which are alike."""
    return spectra_at(point, list(arounds(point).values()))


def test_a_number_is_linear_between_its_checkpoints_with_its_replicates(checkpoint, two):
    at = {}
    for share in (0.0, 0.25, 1.0):
        point = between(checkpoint, *two, share)
        spectrum = all_at(point)
        quantity = quantities(*two, ["head_exponent_1_10"])[0]
        at[share] = spectrum.numbers(quantity)[0]
    expected = 0.75 * at[0.0].estimated.per_row + 0.25 * at[1.0].estimated.per_row
    np.testing.assert_allclose(at[0.25].estimated.per_row, expected, rtol=1e-12)
    # without a third checkpoint, the distance to the nearer one
    off = abs(at[1.0].estimated.value - at[0.0].estimated.value) * 0.25
    assert at[0.25].estimated.unbent == pytest.approx(off, rel=1e-12)
    assert at[0.0].estimated.unbent == at[1.0].estimated.unbent == at[0.25].estimated.bend == 0.0


def test_a_third_checkpoint_shows_how_a_number_and_a_spectrum_bend(checkpoint, two, sampled):
    """Logarithms that are a parabola along the run: interpolation misses by its bend, which is known."""
    noise = np.random.default_rng(0).normal(size=(1024, 64))
    ranks = np.arange(1, 65)
    spectra = [sampled(noise * ranks ** -(0.5 + 0.1 * x + 0.02 * x**2)) for x in (0.0, 1.0, 3.0)]
    bracket = Bracket(before=0, after=1, share=0.5, gap=0.0, third=2, place=3.0)
    before, after, third = (checkpoint([s]) for s in spectra)
    point = Point(before=before, after=after, third=third, bracket=bracket)
    found = all_at(point)
    head = [estimate(STATISTICS["head_exponent_1_10"], s).value for s in spectra]
    bend = (((head[2] - head[1]) / 2 - (head[1] - head[0])) / 3) * 0.5 * -0.5
    number = found.numbers(quantities(*two, ["head_exponent_1_10"])[0])[0].estimated
    assert (number.bend, number.unbent) == (pytest.approx(bend, rel=1e-9), 0.0)
    # 0.02 x^2 at the middle of the bracket is 0.005 below the line; the eigenvalues have twice the exponent
    whole = found.eigenvalues()[:, 0]
    moved, bent = found.elsewhere(whole)
    np.testing.assert_array_equal(moved, whole)
    np.testing.assert_allclose(np.log(bent / whole)[0], 0.01 * np.log(ranks), atol=4e-3)


def test_a_spectrum_is_interpolated_in_its_logarithm(checkpoint, two):
    point = between(checkpoint, *two, 0.5)
    (found,) = all_at(point).eigenvalues()
    expected = np.sqrt(with_replicates(two[0]) * with_replicates(two[1]))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_without_a_block_the_point_moves_with_the_loss():
    """A number that is a function of the loss alone has no error at equal loss."""
    early, late = np.array([3.0, 3.1, 2.9]), np.array([2.0, 2.1, 1.9])
    share, target = 0.5, 2.5
    bracket = Bracket(before=0, after=1, share=share, gap=0.0)
    noise = bracket.between(early, late) - target
    point = Point(before=object(), after=object(), bracket=bracket, loss_step=-1.0, loss_noise=noise)
    number = point.interpolate(7 * early, 7 * late, with_loss=True)
    np.testing.assert_allclose(number, 7 * target, rtol=1e-12)
    # a vector likewise, entry by entry
    rows = np.stack([early, 2 * early], 1), np.stack([late, 2 * late], 1)
    vector = point.interpolate(*rows, with_loss=True)
    np.testing.assert_allclose(vector, np.tile([target, 2 * target], (3, 1)), rtol=1e-12)


@pytest.mark.parametrize(("sequences", "same"), [(64, True), (32, False), (128, False)])
def test_blocks_of_other_sequences_are_not_combined_with_those_of_the_loss(checkpoint, two, sequences, same):
    """The settings say 64 sequences for the activations: block b of a loss of more is of other sequences."""
    size = sequences // 16
    generator = np.random.default_rng(1)
    noise = np.array([0.0, *(0.01 * generator.normal(size=16))])
    changes = {"loss_step": -1.0, "loss_noise": noise, "loss_sizes": (size,) * 16}
    point = between(checkpoint, *two, 0.5, **changes)
    assert point.has_blocks_of("activation_covariance") is same
    plain = between(checkpoint, *two, 0.5)
    quantity = quantities(*two, ["head_exponent_1_10"])[0]
    found, quiet = (all_at(one).numbers(quantity)[0].estimated for one in (point, plain))
    slope = (
        found.value
        - between(checkpoint, *two, 1.0).interpolate(*(estimate(quantity.statistic, s).per_row for s in two))[
            0
        ]
    )
    error = abs(2 * slope) * standard_error(noise, (size,) * 16)
    if same:
        assert found.loss_sizes == ()
        assert found.stderr != pytest.approx(quiet.stderr, rel=1e-3)
    else:
        np.testing.assert_array_equal(found.per_row, quiet.per_row)
        assert found.stderr == pytest.approx(math.hypot(quiet.stderr, error), rel=1e-9)
        (moved,), _ = all_at(point).elsewhere(two[0].values[None])
        ratio = np.log(two[1].values / two[0].values) * standard_error(noise, (size,) * 16)
        np.testing.assert_allclose(np.log(moved / two[0].values), ratio, rtol=1e-9)


def test_a_loss_without_blocks_moves_nothing(checkpoint, two):
    quiet = between(checkpoint, *two, 0.3, loss_step=-1.0)
    plain = between(checkpoint, *two, 0.3)
    rows = with_replicates(two[0]), with_replicates(two[1])
    np.testing.assert_array_equal(quiet.interpolate(*rows), plain.interpolate(*rows))


def test_a_number_that_one_checkpoint_lacks_is_none_with_its_reason(checkpoint, two):
    few = replace(two[1], zero_threshold=float(two[1].values[5]))
    point = between(checkpoint, two[0], few, 0.5)
    quantity = quantities(*two, ["head_exponent_1_10"])[0]
    found = all_at(point).numbers(quantity)[0]
    assert math.isnan(found.estimated.value)
    assert "numerical zero" in found.reason


def test_what_limits_a_number_is_carried_beside_it(checkpoint, two, sampled):
    """A tail of too few samples has a value, and a reason to doubt it."""
    few = sampled(np.random.default_rng(0).normal(size=(512, 64)) * np.arange(1, 65) ** -0.5)
    quantity = quantities(*two, ["tail_exponent_scaled"])[0]
    point = between(checkpoint, few, few, 0.5)
    found = all_at(point).numbers(quantity)[0]
    expected = estimate(quantity.statistic, few)
    assert expected.status is Status.PARTIAL
    assert math.isfinite(found.estimated.value)
    assert found.reason == expected.reason


def test_other_blocks_at_the_later_checkpoint_are_another_measurement(checkpoint, two):
    other = replace(two[1], block_sizes=(*two[1].block_sizes[:-1], two[1].block_sizes[-1] - 1))
    point = between(checkpoint, two[0], other, 0.5)
    assert arounds(point) == {}
    assert "other numbers of samples" in why_not_between(two[0], other)
    assert "only one of the checkpoints" in why_not_between(two[0], None)


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


STEPS, LOSSES = (0, 10, 20, 30), (8.0, 5.0, 4.0, 3.5)


@pytest.fixture
def two_runs(write_run, tmp_path, monkeypatch):
    """`a`, and `below/a` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    write_run(tmp_path / "a.spectra.h5", steps=STEPS, losses=LOSSES, batch_size_tokens=[None, 8, 16, None])
    other = [f"other-{step}" for step in STEPS]
    write_run(tmp_path / "below" / "a.spectra.h5", steps=STEPS, losses=LOSSES, digest=other)
    return ["a", "below/a.spectra.h5"]


def test_the_batch_size_is_the_last_that_is_known(two_runs):
    (run,) = open_runs(two_runs[:1])
    assert run.batch_size_tokens == 16


def test_checkpoints_are_those_of_the_brackets_in_order_and_shared_between_points(two_runs):
    runs = open_runs(two_runs)
    alignment = align(runs, Axis.LOSS, at=[4.75, 4.5, 3.75])
    points = list(points_of(runs, alignment))
    steps = [[(p.before.ref.step, p.after.ref.step) for p in both] for both in points]
    assert steps == [[(10, 20)] * 2, [(10, 20)] * 2, [(20, 30)] * 2]
    assert points[0][0].after is points[1][0].after
    assert points[1][0].after is points[2][0].before
    # a third checkpoint is one that is read anyway
    assert [[p.third.ref.step for p in both] for both in points] == [[30, 30], [30, 30], [10, 10]]
    # the loss of the planted runs has no blocks
    assert points[0][0].loss_noise.size == 0
    assert points[0][0].loss_step == pytest.approx(-1.0)


def test_on_another_axis_the_loss_moves_nothing(two_runs):
    runs = open_runs(two_runs)
    alignment = align(runs, Axis.STEP, at=[15.0])
    ((point, _),) = points_of(runs, alignment)
    assert math.isnan(point.loss_step)


def test_the_nearest_checkpoint_to_the_last_point(two_runs):
    runs = open_runs(two_runs)
    alignment = align(runs, Axis.LOSS, at=[5.0, 3.6])
    assert nearest_to_last_point(runs[0], 0, alignment).ref.step == 30
