from __future__ import annotations

from spectra_cli.render.figures.drift import figure
from spectra_cli.render.figures.request import PlotRequest


def test_without_vectors_nothing_is_said_of_directions(full):
    found = figure(PlotRequest(runs=full[:1]))
    assert found.title == "a: how far spectra moved since step0"
    assert [panel.title for panel in found.panels] == ["change of the spectrum"]
    assert "Turned" not in found.words
