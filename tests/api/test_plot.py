from __future__ import annotations

import numpy as np
import pytest

import spectra_cli as spectra
from spectra_cli.core.errors import UsageError
from spectra_cli.render.drawing.registry import draw_into
from spectra_cli.render.figures.figure import Axis, Ink, Panel, Series
from spectra_cli.render.figures.registry import FIGURES
from tests.builders.archives import write_planted_run


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("plot") / "a.spectra.h5"
    return write_planted_run(path, steps=[0, 100, 200], noise=0.05, width=128, losses=[3.0, 2.5, 2.0])


def test_a_figure_is_a_value_with_the_archived_numbers(archive):
    figure = spectra.plot("spectrum", archive, layer=1)
    values = spectra.open(archive).spectrum(200, "blocks.1.resid_post").values
    np.testing.assert_array_equal(figure.panels[0].series[2].y, values)


def test_an_output_is_drawn_and_kept(archive, tmp_path):
    target = tmp_path / "a.svg"
    spectra.plot("layers", archive, output=target, width=3.3)
    assert target.read_bytes().startswith(b"<?xml")
    with pytest.raises(UsageError, match="exists"):
        spectra.plot("layers", archive, output=target)


def test_a_run_draws_into_the_users_axes_and_returns_what_was_drawn(archive):
    from matplotlib.figure import Figure

    page = Figure()
    mine, other = page.subplots(1, 2)
    run = spectra.open(archive)
    artists = run.plot.trajectory(ax=mine, statistic="rankme_cov")
    assert set(mine.get_children()) >= set(artists)
    lines = [one for one in mine.lines if len(one.get_xdata()) == 3]
    wanted = run.table(statistics="rankme_cov", layers=0).rows
    np.testing.assert_array_equal(lines[0].get_ydata(), [row["value"] for row in wanted])
    assert (mine.get_xlabel(), other.get_xlabel()) == ("tokens", "")
    assert not other.lines


def test_the_users_axes_get_a_key_unless_they_are_not_to_have_one(archive):
    from matplotlib.figure import Figure

    run = spectra.open(archive)
    for figure, label in (("layers", "RankMe"), ("trajectory", "layer")):
        page = Figure()
        draw = getattr(run.plot, figure)
        draw(ax=page.subplots(), statistic="rankme_cov", key=False)
        assert len(page.axes) == 1
        page = Figure()
        draw(ax=page.subplots(), statistic="rankme_cov")
        assert [ax.get_ylabel() for ax in page.axes[1:]] == [label]
    ax = Figure().subplots()
    line = Series(x=np.array([1.0, 2.0]), y=np.array([1.0, 2.0]), ink=Ink(), label="mine")
    panel = Panel(title="", x=Axis(label="rank"), y=Axis(label="value"), series=(line,))
    draw_into(ax, panel, scale=None, style="paper")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mine"]


def test_every_figure_is_a_method(archive):
    run = spectra.open(archive)
    assert set(dir(run.plot)) == {name for name, kind in FIGURES.items() if kind.alone is not None}
    with pytest.raises(AttributeError, match="several runs"):
        _ = run.plot.compare
    with pytest.raises(AttributeError, match="spectrum, trajectory"):
        _ = run.plot.spectrun
    with pytest.raises(UsageError, match="2 panels here"):
        run.plot.spectrum(ax=None, panel=2)


def test_an_opened_run_stands_for_its_archive(archive):
    opened, named = spectra.plot("layers", spectra.open(archive)), spectra.plot("layers", archive)
    assert (opened.title, opened.caption) == (named.title, named.caption)
    with pytest.raises(UsageError, match="same archive"):
        spectra.plot("spectrum", spectra.open(archive), archive)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"figure": "spectrun"}, "did you mean spectrum"),
        ({"figure": "layers", "measure": "heads"}, "activations"),
        ({"figure": "layers", "align": "time"}, "expected one of loss, step, tokens"),
    ],
)
def test_wrong_words_are_refused(archive, words, said):
    with pytest.raises(UsageError, match=said):
        spectra.plot(words.pop("figure"), archive, **words)


def test_nothing_in_a_name_is_a_formula_in_the_users_axes(tmp_path):
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    path = write_planted_run(tmp_path / "a$x$_$y$.spectra.h5", steps=[0, 1, 2], noise=0.05, width=128)
    for figure in ("trajectory", "layers"):
        page = Figure()
        getattr(spectra.open(path).plot, figure)(ax=page.subplots(), statistic="rankme_cov")
        page.draw_without_rendering()
        for ax in page.axes:
            words = [one for one in ax.findobj(Text) if "$" in one.get_text()]
            assert not [one.get_text() for one in words if one.get_parse_math()]
    axes = Figure().subplots()
    named = Series(x=np.arange(2.0), y=np.ones(2), ink=Ink(), label="a$x$b")
    panel = Panel(title="$x^2$", x=Axis(label="$x$"), y=Axis(label="$y$"), series=[named])
    draw_into(axes, panel, scale=None, style="paper")
    key = axes.get_legend().get_texts()[0]
    assert (key.get_text(), key.get_parse_math()) == ("a$x$b", False)
