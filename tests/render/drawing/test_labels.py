"""Words inside a panel: where neither lines nor other words stand, and never cut."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page

from spectra_cli.render.drawing.labels import (
    OF_A_HATCHED_WINDOW,
    OF_A_POINT,
    OF_A_WINDOW,
    settle_labels,
    thin_names,
)
from spectra_cli.render.drawing.panels import draw_panel
from spectra_cli.render.drawing.style import STYLES
from spectra_cli.render.figures.figure import (
    Axis,
    Cells,
    Ink,
    Look,
    Mark,
    Panel,
    Scale,
    Series,
    Symbol,
    Window,
    WindowKind,
)

RANKS = np.arange(1.0, 513.0)
LONG = "trainer-gpt2-medium-lr3e-4-warmup2000-cosine-seed1337-rerun-after-the-crash_final.v2"


def settled(panel, size=(3.3, 2.0)):
    page = Page(figsize=size, dpi=200)
    ax = page.add_axes((0.15, 0.2, 0.8, 0.7))
    draw_panel(panel, ax, STYLES["paper"])
    settle_labels(page)
    return ax, FigureCanvasAgg(page).get_renderer()


def words(ax, *labels):
    return [text for text in ax.texts if text.get_label() in labels and text.get_text().strip()]


def spectrum(y, *windows, **changes) -> Panel:
    axes = {"x": Axis(label="rank", log=True, low=1.0), "y": Axis(label="value", log=True)}
    return Panel(title="t", series=[Series(x=RANKS, y=y, ink=Ink())], windows=windows, **axes, **changes)


def crossed(text, ax, renderer) -> bool:
    """By a slow way: whether any of many points along a line lies in the box of the words."""
    box = text.get_window_extent(renderer)
    found = False
    for line in ax.lines:
        pixels = line.get_transform().transform(line.get_xydata())
        shares = np.linspace(0, 1, 50)[:, None]
        fine = np.concatenate([a + shares * (b - a) for a, b in pairwise(pixels)])
        found |= any(box.contains(*point) for point in fine)
    return found


@pytest.mark.parametrize(
    ("exponent", "scale"),
    [(-2.0, "log"), (-0.5, "log"), (0.5, "log"), (2.0, "log"), (-0.1, "linear"), (2.0, "linear")],
)
def test_no_line_goes_through_the_words_of_a_window(exponent, scale):
    low = Window(low=1, high=10, label="α head 1-10\n0.873±0.003", kind=WindowKind.FIT)
    high = Window(low=30, high=150, label="α tail 30-150\n1.56±0.05", kind=WindowKind.FIT)
    panel = spectrum(RANKS**exponent, low, high)
    if scale == "linear":
        panel = Panel(title="t", series=panel.series, windows=panel.windows, x=panel.x, y=Axis(label="value"))
    ax, renderer = settled(panel)
    found = words(ax, OF_A_WINDOW)
    assert len(found) == 2
    assert not any(crossed(text, ax, renderer) for text in found)
    assert all(text.get_bbox_patch() is None for text in found)


def test_words_stay_in_their_panel_and_off_each_other():
    windows = [
        Window(low=low, high=low + 3, label="α tail 400-500 withheld", kind=WindowKind.UNREADABLE)
        for low in (300.0, 350.0, 400.0, 450.0)
    ]
    ax, renderer = settled(spectrum(1 / RANKS, *windows))
    boxes = [text.get_window_extent(renderer) for text in words(ax, OF_A_HATCHED_WINDOW)]
    assert len(boxes) == 4
    panel = ax.get_window_extent(renderer)
    assert all(panel.x0 <= box.x0 and box.x1 <= panel.x1 + 1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_where_lines_are_everywhere_words_have_a_ground_of_their_own():
    lines = [Series(x=RANKS, y=0 * RANKS + level, ink=Ink()) for level in np.geomspace(1e-3, 1, 60)]
    window = Window(low=1, high=10, label="α head 1-10", kind=WindowKind.FIT)
    ax, _ = settled(
        Panel(
            title="t",
            series=lines,
            windows=[window],
            x=Axis(label="rank", log=True),
            y=Axis(label="value", log=True),
        )
    )
    (text,) = words(ax, OF_A_WINDOW)
    assert text.get_bbox_patch() is not None


@pytest.mark.parametrize("size", [(3.3, 2.0), (6.75, 8.0), (1.2, 1.0)])
def test_names_of_cells_stand_clear_with_both_ends(size):
    rows, columns = tuple(map(str, range(48))), tuple(f"{step}k" for step in range(200))
    cells = Cells(
        rows=rows,
        columns=columns,
        values=np.ones((48, 200)),
        reasons=np.full((48, 200), ""),
        scale=Scale(label="", low=0.0, high=1.0),
    )
    page = Page(figsize=size, dpi=200)
    ax = page.add_axes((0.15, 0.2, 0.8, 0.7))
    draw_panel(
        Panel(title="t", x=Axis(label="step"), y=Axis(label="layer"), cells=cells), ax, STYLES["paper"]
    )
    thin_names(page, ax)
    renderer = FigureCanvasAgg(page).get_renderer()
    for axis, names in ((ax.xaxis, columns), (ax.yaxis, rows)):
        shown = [one.get_text() for one in axis.get_ticklabels()]
        assert (shown[0], shown[-1]) == (names[0], names[-1])
        assert [names[round(place)] for place in axis.get_ticklocs()] == shown
        boxes = [one.get_window_extent(renderer) for one in axis.get_ticklabels()]
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_names_that_follow_from_no_other_all_stay():
    names = tuple(f"statistic {number}" for number in range(14))
    cells = Cells(
        rows=names,
        columns=names,
        values=np.ones((14, 14)),
        reasons=np.full((14, 14), ""),
        scale=Scale(label="", low=0.0, high=1.0),
    )
    page = Page(figsize=(2.0, 1.0), dpi=200)
    ax = page.add_axes((0.15, 0.2, 0.8, 0.7))
    draw_panel(Panel(title="t", x=Axis(label=""), y=Axis(label=""), cells=cells), ax, STYLES["paper"])
    thin_names(page, ax)
    for axis in (ax.xaxis, ax.yaxis):
        assert tuple(one.get_text() for one in axis.get_ticklabels()) == names


def test_names_of_points_are_whole_and_inside():
    x, y = np.array([0.0, 0.5, 1.0, 1.0]), np.array([0.0, 0.5, 1.0, 0.98])
    names = ("corner", "middle", LONG, "beside it")
    series = Series(x=x, y=y, ink=Ink(), look=Look.POINTS, names=names)
    ax, renderer = settled(Panel(title="t", x=Axis(label="x"), y=Axis(label="y"), series=[series]))
    found = words(ax, OF_A_POINT)
    assert tuple(text.get_text().replace("\n", "") for text in found) == names
    boxes = [text.get_window_extent(renderer) for text in found]
    panel = ax.get_window_extent(renderer)
    assert all(panel.x0 <= box.x0 and box.x1 <= panel.x1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize(("low", "hatched"), [(498.5, False), (100.0, True)])
def test_a_narrow_stretch_has_no_hatch(low, hatched):
    window = Window(low=low, high=512.5, label="", kind=WindowKind.UNREADABLE)
    ax, _ = settled(spectrum(1 / RANKS, window))
    (span,) = ax.patches
    assert (span.get_hatch() is not None) == hatched
    assert span.get_visible() == hatched


def test_a_fit_is_no_dashed_spectrum():
    ranks = np.geomspace(1, 10, 32)
    lines = [
        Series(x=RANKS, y=1 / RANKS, ink=Ink(category=1)),
        Series(x=ranks, y=1 / ranks, ink=Ink(muted=True), look=Look.FIT),
    ]
    ax, _ = settled(Panel(title="t", series=lines, x=Axis(label="x"), y=Axis(label="y")))
    dashed, fit = ax.lines
    assert dashed.get_linestyle() != "-"
    assert fit.get_color() == STYLES["paper"].muted != dashed.get_color()
    assert (fit.get_marker(), fit.get_markevery()) == ("|", [0, 31])
    assert dashed.get_marker() in ("None", None, "")


def test_a_panel_of_reasons_alone_has_no_numbers_beside_it():
    nothing = np.full(3, np.nan)
    panel = Panel(
        title="t",
        x=Axis(label="step"),
        y=Axis(label="α"),
        series=[Series(x=np.arange(3.0), y=nothing, ink=Ink())],
        marks=[Mark(x=1.0, symbol=Symbol.WITHHELD, ink=Ink())],
    )
    ax, _ = settled(panel)
    assert not list(ax.get_yticks())
