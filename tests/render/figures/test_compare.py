from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.analysis.compare.decisions import Verdict
from spectra_cli.analysis.comparison import CompareRequest
from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures.compare import figure
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.workflows.compare import compare


def test_cells_are_differences_over_the_floor_and_marks_the_verdicts(full):
    found = figure(PlotRequest(runs=full))
    comparison = compare(CompareRequest(runs=full))
    target = comparison.alignment.points[-1].target
    here = [one for one in comparison.pairs[0].differences if one.target == target]
    cells = found.panels[0].cells
    judged = [one for one in here if one.measurement != "weight" and np.isfinite(one.found.floor)]
    wanted = sorted(one.found.delta / one.found.floor for one in judged)
    np.testing.assert_allclose(sorted(cells.values[np.isfinite(cells.values)]), wanted)
    for sign, verdict in (("●", Verdict.DIFFERENT), ("=", Verdict.EQUAL)):
        assert (cells.signs == sign).sum() == sum(one.found.verdict is verdict for one in judged)
    assert (cells.signs == "●").any()
    assert not [row for row in cells.rows if "weights" in row]


def test_the_spectra_that_differ_most_stand_below(full):
    found = figure(PlotRequest(runs=full))
    assert "activations layer 0" in [panel.title for panel in found.panels[1:]]
    assert [line.label for line in found.panels[1].series[:2]] == ["a", "b"]


def test_one_run_is_refused(full):
    with pytest.raises(UsageError, match="two runs"):
        figure(PlotRequest(runs=full[:1]))
