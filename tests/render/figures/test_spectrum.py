"""The figure of spectra: what is drawn is what the archive holds."""

from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.analysis.run import Axis
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures.figure import Look, WindowKind
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.figures.spectrum import figure
from spectra_cli.statistics.jackknife import delete_one_block, standard_error
from spectra_cli.statistics.summarise import summarise
from tests.builders.archives import write_planted_run
from tests.builders.checkpoints import checkpoint
from tests.builders.spectra import spectrum


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
    dashed = [one for one in found.panels[0].series if one.look is Look.FIT]
    assert all(one.ink.muted for one in dashed)
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


def test_runs_that_are_only_near_the_matched_point_are_called_so_each_with_its_own_loss(planted):
    found = figure(PlotRequest(runs=planted, layers=(0,)))
    assert found.title.endswith("of a and b nearest to equal loss")
    told = "The checkpoints nearest to equal probe loss (3 nats): a at step400 (3), b at step400 (2.9000)."
    assert told in found.caption
    exact = figure(PlotRequest(runs=planted, layers=(0,), align=Axis.STEP))
    assert exact.title.endswith("of a and b at equal step")
    assert "At equal step (400): a at step400, b at step400." in exact.caption


def test_fits_of_runs_are_no_dashes_of_a_run(planted):
    found = figure(PlotRequest(runs=planted, layers=(0,)))
    assert [one.look for one in found.panels[0].series if one.ink.muted] == [Look.FIT] * 4
    assert [one.look for one in found.panels[0].series if not one.ink.muted] == [Look.LINE] * 2


def _written(path, of_step, steps=(0, 1, 2), place=("activation_covariance", "blocks.0.resid_post")):
    made = [checkpoint([spectrum(of_step(step), *place)], step=step, digest=str(step)) for step in steps]
    write_archive(path, made)
    return PlotRequest(runs=(path,))


def test_a_line_of_zeros_is_named_and_bounds_no_other(tmp_path):
    values = np.where(np.arange(64) < 60, np.arange(64, 0, -1.0), 0.0)
    found = figure(_written(tmp_path / "a.spectra.h5", lambda step: values * (step > 0)))
    caption = " ".join(found.caption)
    assert "No line, since every eigenvalue is numerically zero: activations layer 0 of step0." in caption
    assert "Numerically zero, and not drawn: activations layer 0 from rank 61 of 64 on." in caption


def test_lines_that_end_at_different_ranks_are_told_of_with_both_ends(tmp_path):
    def of_step(step):
        return np.where(np.arange(64) < 60 - 10 * step, np.arange(64, 0, -1.0), 0.0)

    found = figure(_written(tmp_path / "a.spectra.h5", of_step))
    assert "from rank 41 of 64 on at the earliest, from 61 on in every line." in " ".join(found.caption)
    windows = [one for one in found.panels[0].windows if one.kind is WindowKind.UNREADABLE]
    assert [(one.low, one.high) for one in windows] == [(60.5, 64.5)]


def test_only_what_is_drawn_is_explained(full):
    found = figure(PlotRequest(runs=full[:1], measurement="weight"))
    assert not [one for one in found.panels[0].series if one.look is Look.FIT]
    assert not [word for word in ("dashes", "Bands", "Bars", "bars") if word in found.words]


def test_one_checkpoint_is_no_training(planted):
    found = figure(PlotRequest(runs=planted[:1], steps=(range(200, 201),)))
    assert found.title == "a: spectra of activations at step200"


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
