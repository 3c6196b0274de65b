"""The figure of spectra: what is drawn is what the archive holds."""

from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures.figure import Look, WindowKind
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.figures.spectrum import figure
from spectra_cli.statistics.jackknife import delete_one_block, standard_error
from spectra_cli.statistics.summarise import summarise
from tests.builders.archives import write_planted_run


def test_lines_are_the_archived_eigenvalues_with_their_jackknife_errors(planted):
    found = figure(PlotRequest(runs=planted[:1], layers=(1,)))
    archive = open_archive(planted[0])
    lines = [one for one in found.panels[0].series if one.look is Look.LINE]
    assert len(lines) == len(archive)
    for place, line in enumerate(lines):
        spectrum = archive.checkpoint(place).spectra[1]
        np.testing.assert_array_equal(line.y, spectrum.values)
        np.testing.assert_array_equal(line.x, np.arange(1, 129))
        rows = np.vstack([spectrum.values, delete_one_block(spectrum)])
        errors = [standard_error(rows[:, rank], spectrum.block_sizes) for rank in (0, 5, 127)]
        np.testing.assert_allclose((line.high - line.y)[[0, 5, 127]], errors, rtol=1e-9)
        np.testing.assert_allclose(line.y - line.low, line.high - line.y, rtol=1e-6)


def test_the_dashed_lines_have_the_archived_exponents_and_their_windows(planted):
    found = figure(PlotRequest(runs=planted[:1], layers=(0,)))
    last = open_archive(planted[0]).checkpoint(3)
    values = {v.name: v for v in summarise(last) if v.site is not None and v.site.layer == 0}
    dashed = [one for one in found.panels[0].series if one.look is Look.DASHED]
    wanted = [values["head_exponent_1_10"], values["tail_exponent_scaled"]]
    for line, value in zip(dashed, wanted, strict=True):
        slope = np.polyfit(np.log(line.x), np.log(line.y), 1)[0]
        assert -slope == pytest.approx(value.value, rel=1e-9)
        assert (line.x[0], line.x[-1]) == pytest.approx(
            (value.details["window_lo"], value.details["window_hi"])
        )
    windows = {one.label.split("\n")[0]: one for one in found.panels[0].windows}
    assert (windows["α head 1-10"].low, windows["α head 1-10"].high) == (1, 10)
    assert all(one.kind is WindowKind.FIT for one in windows.values())


def test_a_withheld_tail_is_hatched_and_its_reason_told(tmp_path):
    path = write_planted_run(tmp_path / "a.spectra.h5", steps=[1], exponents=1.0, noise=3.0, width=128)
    found = figure(PlotRequest(runs=(path,)))
    reason = next(
        v.reason for v in summarise(open_archive(path).checkpoint(0)) if v.name == "tail_exponent_scaled"
    )
    assert "effective rows per dimension" in reason
    hatched = [one for one in found.panels[0].windows if one.kind is WindowKind.UNREADABLE]
    assert [one.label.split("\n")[-1] for one in hatched] == ["withheld"]
    assert reason in " ".join(found.caption)


def test_runs_are_shown_at_the_last_point_that_compare_matches(planted):
    from spectra_cli.analysis.comparison import CompareRequest
    from spectra_cli.workflows.compare import compare

    found = figure(PlotRequest(runs=planted))
    comparison = compare(CompareRequest(runs=planted))
    point = comparison.alignment.points[-1]
    assert f"({point.target:g} nats)" in " ".join(found.caption)
    for number, (path, place) in enumerate(zip(planted, point.places, strict=True)):
        bracket = place.bracket
        shown = bracket.before if bracket.share < 0.5 else bracket.after
        line = next(one for one in found.panels[0].series if one.ink.category == number)
        np.testing.assert_array_equal(line.y, open_archive(path).checkpoint(shown).spectra[0].values)
        assert line.label == ("a", "b")[number]


def test_what_is_numerically_zero_is_not_drawn(tmp_path):
    path = write_planted_run(tmp_path / "a.spectra.h5", steps=[1], exponents=40.0)
    found = figure(PlotRequest(runs=(path,), layers=(0,)))
    values = open_archive(path).checkpoint(0).spectra[0].values
    line = found.panels[0].series[0]
    assert np.isnan(line.y[values <= 0]).all()
    assert ("Numerically zero" in " ".join(found.caption)) == bool((values <= 0).any())


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"layers": (9,)}, "0, 1, 2"),
        ({"matrices": ("attn.q",)}, "resid_post"),
        ({"steps": (range(7, 8),)}, "400"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(planted, asked, named):
    with pytest.raises(UsageError, match=named):
        figure(PlotRequest(runs=planted[:1], **asked))


def test_a_long_series_is_thinned_with_both_ends(tmp_path):
    path = write_planted_run(tmp_path / "a.spectra.h5", steps=range(30))
    found = figure(PlotRequest(runs=(path,), layers=(0,)))
    lines = [one for one in found.panels[0].series if one.look is Look.LINE]
    assert len(lines) == 8
    assert "8 of 30 checkpoints." in found.caption
