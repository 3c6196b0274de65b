from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.analysis.compare.decisions import Verdict
from spectra_cli.analysis.comparison import CompareRequest
from spectra_cli.analysis.run import Axis
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


def test_the_matrix_is_of_the_point_and_the_spectra_only_near_it(planted):
    found = figure(PlotRequest(runs=planted))
    caption = " ".join(found.caption)
    assert "Spectra: the checkpoints nearest to equal" in caption
    assert "matrix is interpolated to the point" in caption
    assert "b at step400 (2.9000)" in caption
    assert found.title.endswith("at equal loss 3")
    exact = figure(PlotRequest(runs=planted, align=Axis.STEP))
    assert "interpolated" not in " ".join(exact.caption)


def test_signs_and_hatches_are_explained_where_they_are_drawn(full):
    found = figure(PlotRequest(runs=full))
    cells, caption = found.panels[0].cells, " ".join(found.caption)
    assert ("=: equal within" in caption) == (cells.signs == "=").any()
    assert ("atched: no number" in caption) == (cells.reasons != "").any()
    blank = np.isnan(cells.values) & (cells.reasons == "")
    assert ("lank: not defined" in caption) == blank.any()
    assert "which is what two probes of this size may show: of a number one standard error" in caption
    assert "JS: Jensen-Shannon divergence" in caption
    assert "rank W1: Wasserstein distance over ranks" in caption


def test_the_caption_has_the_answer_and_no_number_twice(full):
    found = figure(PlotRequest(runs=full))
    strongest = compare(CompareRequest(runs=full)).pairs[0].verdict[0]
    assert found.caption[0].lower().startswith(strongest.lower())
    assert not [sentence for sentence in found.caption[1:] if "±" in sentence]


def test_one_run_is_refused(full):
    with pytest.raises(UsageError, match="two runs"):
        figure(PlotRequest(runs=full[:1]))
