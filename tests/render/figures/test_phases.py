from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures.phases import figure
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.outputs.phases import MEANING
from spectra_cli.workflows.phases import phases
from tests.builders.archives import write_planted_run


@pytest.fixture(scope="module")
def turning(tmp_path_factory):
    """Exponents that rise, fall and rise again."""
    exponents = np.concatenate([np.linspace(1, 1.5, 5), np.linspace(1.4, 0.9, 6), np.linspace(1.0, 1.6, 6)])
    path = tmp_path_factory.mktemp("phases") / "a.spectra.h5"
    return write_planted_run(path, steps=range(0, 1700, 100), exponents=exponents, noise=0.02, width=128)


def test_windows_are_the_segments_and_diamonds_their_ends(turning):
    found, segments = figure(PlotRequest(runs=(turning,))), phases(turning)
    assert len(segments.segments) == 3
    for panel in found.panels:
        assert [(w.low, w.high, w.label) for w in panel.windows] == [
            (segments.points[s.first].position, segments.points[s.last].position, s.name)
            for s in segments.segments
        ]
    ranks = found.panels[0]
    np.testing.assert_array_equal(ranks.series[0].y, [point.rank for point in segments.points])
    assert [(m.x, m.low, m.high) for m in ranks.marks] == [
        tuple(segments.points[place].position for place in (s.last, s.earliest, s.latest))
        for s in segments.segments[:-1]
    ]
    assert all(segment.name in found.title for segment in segments.segments)


def test_every_phase_that_is_drawn_is_explained(turning):
    caption = " ".join(figure(PlotRequest(runs=(turning,))).caption)
    for segment in phases(turning).segments:
        assert f"{segment.name.capitalize()}: {MEANING[segment.name]}." in caption


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"layers": (0, 1)}, "--layer 0,1: this figure is of one"),
        ({"statistics": ("rankme_cov",)}, "--statistic rankme_cov: this figure draws decay exponents"),
    ],
)
def test_what_it_cannot_show_is_refused(turning, asked, said):
    with pytest.raises(UsageError, match=said):
        figure(PlotRequest(runs=(turning,), **asked))
