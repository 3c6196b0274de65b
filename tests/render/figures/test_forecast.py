from __future__ import annotations

import re

import numpy as np
import pytest

from spectra_cli.analysis.forecast.regression import leave_one_out
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.render.figures.figure import Look
from spectra_cli.render.figures.forecast import figure
from spectra_cli.render.figures.request import PlotRequest
from tests.builders.archives import write_planted_run


def test_points_are_the_runs_and_left_out_predictions_those_of_the_regression(reaching):
    found = figure(PlotRequest(runs=reaching[:6], statistics=("tail_exponent_scaled",)))
    against, left_out = found.panels
    points = next(one for one in against.series if one.look is Look.POINTS)
    assert points.names == tuple(f"run{number}" for number in range(6))
    fit = leave_one_out(points.x[:, None], np.log(points.y), ["f"] * 6)
    predicted = next(one for one in left_out.series if one.look is Look.POINTS)
    np.testing.assert_array_equal(predicted.x, points.y)
    np.testing.assert_allclose(np.log(predicted.y), np.log(points.y) - fit.residuals, rtol=1e-9)
    line = next(one for one in against.series if one.look is Look.DASHED)
    slope = np.diff(np.log(line.y)) / np.diff(line.x)
    assert slope == pytest.approx(fit.coefficients[0], rel=1e-9)
    assert re.fullmatch(
        r"Tokens to probe loss [\d.]+ from the early tail exponent, scaled by width", found.title
    )
    assert "Spearman" in " ".join(found.caption)


def test_a_run_that_did_not_get_there_is_marked_where_it_stopped(reaching):
    from spectra_cli.analysis.forecast.request import ForecastRequest
    from spectra_cli.workflows.forecast import forecast

    request = PlotRequest(runs=reaching, statistics=("tail_exponent_scaled",), at=3.4)
    asked = ForecastRequest(archives=reaching, statistic="tail_exponent_scaled", target_loss=3.4)
    stopped = [row for row in forecast(asked).rows if row.outcome == "censored"]
    assert stopped
    marks = figure(request).panels[0].marks
    assert [(mark.x, mark.y) for mark in marks if "not reached" in mark.text] == [
        (row.predictor, row.seen) for row in stopped
    ]


def test_two_statistics_are_refused(reaching):
    with pytest.raises(UsageError, match="this figure is of one"):
        figure(PlotRequest(runs=reaching, statistics=("tail_exponent_scaled", "rankme_cov")))


def test_runs_of_which_none_has_the_number_are_refused_with_their_reasons(tmp_path):
    runs = tuple(
        write_planted_run(
            tmp_path / f"{name}.spectra.h5", steps=[0, 10, 20], losses=[4.0, 3.0, 2.0], width=32, seed=seed
        )
        for seed, name in enumerate("ab")
    )
    with pytest.raises(DataError, match=r"none of these runs can be drawn\. Left out: a \(.*; b \("):
        figure(PlotRequest(runs=runs, statistics=("tail_exponent_scaled",)))
