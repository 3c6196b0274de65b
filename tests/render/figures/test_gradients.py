from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures.gradients import figure
from spectra_cli.render.figures.request import PlotRequest


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
    assert (whole.label, matrix.label) == ("whole model", "blocks.0.attn.o")


def test_only_what_is_drawn_is_explained(full):
    found = figure(PlotRequest(runs=full[:1]))
    assert not any((line.high > line.low).any() for line in found.panels[2].series)
    assert found.errors.startswith("Bands: one standard error")
    assert "×" not in found.words
    assert "The noise scale is in sequences" in found.words


def test_several_runs_have_a_line_each(full):
    found = figure(PlotRequest(runs=full))
    assert [line.label for line in found.panels[2].series] == ["a", "b"]


def test_an_archive_without_gradients_is_refused(planted):
    with pytest.raises(UsageError, match="--measure gradients"):
        figure(PlotRequest(runs=planted[:1]))
