from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.figures.weights import figure
from spectra_cli.statistics.bulk_edge import fit_bulk, marchenko_pastur_cdf


def test_the_histogram_counts_every_value_and_outliers_are_those_above_the_cut(full):
    found = figure(PlotRequest(runs=full[1:]))
    values = open_archive(full[1]).checkpoint(2).select("weight")[0].values
    histogram = found.panels[0]
    assert histogram.bars[0].heights.sum() == values.size
    bulk = fit_bulk(values, 96, 64)
    assert [mark.x for mark in histogram.marks] == list(values[:2]) == list(values[values > bulk.cut])
    others = {histogram.bars[0].ink.category, histogram.series[0].ink.category}
    assert len({*others, *(one.ink.category for one in found.panels[-1].series)}) == 2
    assert {rule.label: rule.at for rule in histogram.rules} == {"edge": bulk.edge, "cut": bulk.cut}
    assert f"(Kolmogorov-Smirnov): layer 0 attn.o {bulk.distance:.3f}, 2 outliers." in " ".join(found.caption)


def test_the_bulk_line_has_the_area_of_the_values_inside(full):
    found = figure(PlotRequest(runs=full[:1]))
    line, bars = found.panels[0].series[0], found.panels[0].bars[0]
    area = np.trapezoid(line.y, line.x) / (bars.edges[1] - bars.edges[0])
    assert area == pytest.approx(64, rel=0.01)
    bulk = fit_bulk(open_archive(full[0]).checkpoint(2).select("weight")[0].values, 96, 64)
    half = line.x < np.median(line.x)
    share = np.trapezoid(line.y[half], line.x[half]) / np.trapezoid(line.y, line.x)
    at = (line.x[half][-1] / bulk.scale) ** 2 / 96
    assert share == pytest.approx(marchenko_pastur_cdf(np.array([at]), 64 / 96)[0], abs=0.02)


def test_stable_rank_is_drawn_over_training(full):
    found = figure(PlotRequest(runs=full))
    assert [line.label for line in found.panels[-1].series] == ["a", "b"]
    squares = [open_archive(full[1]).checkpoint(i).select("weight")[0].eigenvalues() for i in range(3)]
    np.testing.assert_allclose(found.panels[-1].series[1].y, [one.sum() / one[0] for one in squares])


def test_an_archive_without_weights_is_refused(planted):
    with pytest.raises(UsageError, match="--measure weights"):
        figure(PlotRequest(runs=planted[:1]))
