from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures.gradients import figure
from spectra_cli.render.figures.request import PlotRequest
from tests.builders.checkpoints import checkpoint
from tests.builders.spectra import spectrum
from tests.render.figures.conftest import SITE


def test_both_spectra_of_the_layer_and_the_noise_scale(full):
    found = figure(PlotRequest(runs=full[:1]))
    activations, gradients, noise = found.panels
    last = open_archive(full[0]).checkpoint(2)
    for panel, name in ((activations, "activation_covariance"), (gradients, "gradient_covariance")):
        values = last.select(name)[0].values
        drawn = panel.series[2].y
        known = np.isfinite(drawn)
        np.testing.assert_array_equal(drawn[known], values[known])
    whole, matrix = noise.series
    np.testing.assert_allclose(whole.y, [20.0, 220.0, 420.0])
    np.testing.assert_allclose(matrix.y, whole.y)
    assert (whole.label, matrix.label) == ("whole model", "layer 0 attn.o")
    assert [panel.has_shades for panel in found.panels] == [True, True, False]


def test_only_what_is_drawn_is_explained(full):
    found = figure(PlotRequest(runs=full[:1]))
    assert not any((line.high > line.low).any() for line in found.panels[2].series)
    assert found.errors.startswith("Bands: one standard error")
    assert "×" not in found.words
    assert "The noise scale is in sequences" in found.words


def test_without_any_gradient_nothing_of_them_is_explained(tmp_path):
    zero = checkpoint(
        [spectrum(np.zeros(32), "gradient_covariance", SITE), spectrum(np.arange(64, 0, -1.0))], step=0
    )
    write_archive(tmp_path / "a.spectra.h5", [zero])
    found = figure(PlotRequest(runs=(tmp_path / "a.spectra.h5",)))
    assert found.title == "a: activations and gradients of layer 0 at step0, and the noise of gradients"
    assert "The noise scale" not in found.words
    assert (
        "No line, since every eigenvalue is numerically zero: gradients layer 0 attn.o of step0."
        in found.words
    )


def test_several_runs_have_a_line_each(full):
    found = figure(PlotRequest(runs=full))
    assert [line.label for line in found.panels[2].series] == ["a", "b"]


def test_an_archive_without_gradients_is_refused(planted):
    with pytest.raises(UsageError, match="--measure gradients"):
        figure(PlotRequest(runs=planted[:1]))
