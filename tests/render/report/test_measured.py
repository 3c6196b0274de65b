"""What one pass gathers is what the statistics and the figures give one by one."""

from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.render.figures.figure import Look
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.figures.spectrum import figure
from spectra_cli.render.report.measured import measured
from spectra_cli.statistics.statistic import eigenvalue_threshold
from spectra_cli.statistics.summarise import summarise
from spectra_cli.workflows.runs import open_runs
from tests.builders.checkpoints import checkpoint
from tests.builders.spectra import spectrum


def of(path):
    (run,) = open_runs([path])
    return measured(run)


@pytest.mark.parametrize("which", ["full", "planted"])
def test_statistics_are_those_of_show(which, request):
    path = request.getfixturevalue(which)[0]
    found, left_out = of(path)
    archive = open_archive(path)
    assert [one.name for one in found] == list(archive.measurements)
    assert left_out == ()
    seen = 0
    for place in range(len(archive)):
        for value in summarise(archive.checkpoint(place)):
            if value.site is None:
                continue
            kind = next((one for one in found if value.name in one.statistics), None)
            if value.name not in next(o for o in found if o.name == value.measurement).statistics:
                assert value.name in {"gradient_signal", "gradient_noise"}  # scalars, not statistics
                continue
            kind = next(one for one in found if one.name == value.measurement)
            mine = kind.statistics[value.name][place, value.site.address]
            assert (mine.status, mine.reason) == (value.status, value.reason)
            np.testing.assert_allclose([mine.value, mine.stderr], [value.value, value.stderr], rtol=1e-9)
            seen += 1
    assert seen > 20


@pytest.mark.parametrize(
    ("which", "measurement"), [("planted", None), ("full", "weight"), ("full", "gradient_covariance")]
)
def test_curves_are_the_lines_of_the_figure_at_the_ranks_that_are_kept(which, measurement, request):
    path = request.getfixturevalue(which)[0]
    drawn = figure(PlotRequest(runs=(path,), layers=(0,), measurement=measurement))
    found, _ = of(path)
    kind = next(one for one in found if measurement in (None, one.name))
    site = next(one for one in kind.sites if one.layer == 0)
    lines = [one for one in drawn.panels[0].series if one.look is Look.LINE]
    for place, line in enumerate(lines):
        curve = kind.curves[place, site.address]
        np.testing.assert_allclose(curve.values, line.y[curve.ranks - 1], rtol=1e-12)
        assert curve.error_ranks.size == 0 if line.high is None else curve.error_ranks.size > 0
        if line.high is not None:
            there = curve.error_ranks - 1
            known = np.isfinite(line.y[there])  # of what is numerically zero nothing is drawn
            np.testing.assert_allclose(
                curve.errors[known], (line.high - line.y)[there][known], rtol=1e-6, atol=1e-14
            )
    fits = [one for one in drawn.panels[0].series if one.look is Look.FIT]
    last = kind.curves[len(lines) - 1, site.address]
    held = [fit for fit in last.fits if np.isfinite(fit.heights).all()]
    assert len(held) == len(fits)
    for fit, line in zip(held, fits, strict=True):
        np.testing.assert_allclose(fit.window, line.x[[0, -1]], rtol=1e-12)
        np.testing.assert_allclose(fit.heights, line.y[[0, -1]], rtol=1e-9)


def test_a_spectrum_of_zeros_has_a_curve_of_gaps_and_reasons(tmp_path):
    zero = spectrum(np.zeros(64), "weight", "blocks.0.attn.o", num_samples=64, ambient_dim=64)
    whole = spectrum(np.arange(64.0, 0, -1), "weight", "blocks.1.attn.o", num_samples=64, ambient_dim=64)
    write_archive(tmp_path / "a.spectra.h5", [checkpoint([zero, whole])])
    (kind,), _ = of(tmp_path / "a.spectra.h5")
    assert np.isnan(kind.curves[0, "blocks.0.attn.o"].values).all()
    assert np.isfinite(kind.curves[0, "blocks.1.attn.o"].values).all()
    value = kind.statistics["stable_rank"][0, "blocks.0.attn.o"]
    assert np.isnan(value.value)
    assert value.reason


def test_numerical_zeros_are_gaps(tmp_path):
    values = np.concatenate([np.arange(20.0, 0, -1), np.full(12, 1e-300)])
    one = spectrum(values, num_samples=4000)
    write_archive(tmp_path / "a.spectra.h5", [checkpoint([one])])
    held = open_archive(tmp_path / "a.spectra.h5").checkpoint(0).spectra[0]
    (kind,), _ = of(tmp_path / "a.spectra.h5")
    curve = kind.curves[0, one.site.address]
    expected = held.eigenvalues()[curve.ranks - 1] > max(eigenvalue_threshold(held), 0.0)
    np.testing.assert_array_equal(np.isfinite(curve.values), expected)
