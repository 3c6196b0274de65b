"""Drawn figures: text is text, nothing is read as a formula, nothing is smaller than can be read."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from spectra_cli.core.errors import UsageError
from spectra_cli.render.drawing.registry import DRAWN_BY, drawn
from spectra_cli.render.drawing.style import STYLES
from spectra_cli.render.figures.figure import (
    Axis,
    Bars,
    Cells,
    Figure,
    Ink,
    Look,
    Mark,
    Panel,
    Rule,
    Scale,
    Series,
    Symbol,
    Window,
    WindowKind,
)

HOSTILE = "=run\x1b[31m $x^2$ _a_ <b>&\u202e"


def everything(name: str = "a run") -> Figure:
    """A figure with one of each thing that a figure can hold."""
    x = np.array([1.0, 10.0, 100.0, 1000.0])
    scale = Scale(label="step", low=0.0, high=300.0)
    lines = [
        Series(x=x, y=x**-1.0, low=0.9 / x, high=1.1 / x, ink=Ink(category=0), label=name),
        Series(x=x, y=2 / x, ink=Ink(category=1), look=Look.BOTH, low=1.5 / x, high=2.5 / x, label="other"),
        Series(x=x, y=3 / x, ink=Ink(shade=0.5), look=Look.POINTS, names=(name, "", "", "")),
        Series(x=x, y=np.array([1.0, np.nan, 0.1, 0.01]), ink=Ink(category=5), look=Look.DASHED),
    ]
    spectrum = Panel(
        title=name,
        x=Axis(label="rank", log=True, low=1.0),
        y=Axis(label="eigenvalue", log=True),
        series=lines,
        windows=[
            Window(low=1.0, high=10.0, label=name, kind=WindowKind.FIT),
            Window(low=100.0, high=1000.0, label="withheld", kind=WindowKind.UNREADABLE),
        ],
        rules=[Rule(at=50.0, label=name), Rule(at=0.1, label="edge", vertical=False)],
        marks=[
            Mark(x=20.0, symbol=Symbol.WITHHELD, ink=Ink()),
            Mark(x=20.0, y=0.1, low=10.0, high=40.0, symbol=Symbol.TURN, ink=Ink(), text=name),
        ],
    )
    cells = Cells(
        rows=("0", name),
        columns=("0", "100", "200"),
        values=np.array([[1.0, 2.0, np.nan], [4.0, np.nan, 6.0]]),
        reasons=np.array([["", "", "withheld"], ["", "", ""]]),
        signs=np.array([["*", "", ""], ["", "", "="]]),
        scale=Scale(label=name, low=-6.0, high=6.0, diverging=True),
    )
    heat = Panel(title="heat", x=Axis(label="step"), y=Axis(label="layer"), cells=cells)
    bars = Panel(
        title="bars",
        x=Axis(label="value"),
        y=Axis(label="count"),
        bars=[Bars(edges=np.array([0.0, 1.0, 2.0]), heights=np.array([3.0, 1.0]), ink=Ink(), label=name)],
    )
    empty = Panel(title="nothing", x=Axis(label="step"), y=Axis(label="value"))
    return Figure(
        name="spectrum",
        title=f"Everything of {name}",
        panels=(spectrum, heat, bars, empty),
        columns=2,
        caption=("Probe: 8 sequences.", f"Of {name}."),
        scale=scale,
    )


@pytest.fixture(scope="module")
def svg() -> str:
    return drawn(everything(), ".svg", style="paper", width=3.3).decode()


@pytest.mark.parametrize(("suffix", "style"), list(zip(DRAWN_BY, STYLES, strict=True)))
def test_the_same_values_give_the_same_bytes(style, suffix):
    first, second = (drawn(everything(), suffix, style=style) for _ in range(2))
    assert first == second
    assert first[:8].startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])


def test_the_last_digits_of_the_layout_change_no_byte(monkeypatch):
    """The solver's last digits differ from page to page, about once in twenty pages of SVG."""
    first = drawn(everything(), ".svg", style="paper")
    laid_out = ConstrainedLayoutEngine.execute

    def nudged(engine, page):
        laid_out(engine, page)
        for ax in page.axes:
            ax.set_position(Bbox.from_extents(*ax.get_position(original=True).extents * (1 + 1e-13)))

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", nudged)
    assert drawn(everything(), ".svg", style="paper") == first


@pytest.mark.parametrize("width", [3.3, 6.75])
@pytest.mark.parametrize(
    "name", ["a run", "a-run-with-a-name-that-is-far-longer-than-any-line-of-this-page" * 2]
)
def test_title_panels_legend_and_caption_stand_one_below_the_other(monkeypatch, name, width):
    pages = []
    saved = Page.savefig

    def kept(page, *given, **more):
        pages.append(page)
        saved(page, *given, **more)

    monkeypatch.setattr(Page, "savefig", kept)
    figure = everything(name)
    drawn(replace(figure, panels=figure.panels[:1]), ".png", style="paper", width=width)
    (page,) = pages
    renderer = FigureCanvasAgg(page).get_renderer()
    title, caption = (text.get_window_extent(renderer) for text in page.texts)
    legend = page.legends[0].get_window_extent(renderer)
    panels = [ax.get_tightbbox(renderer) for ax in page.axes]
    assert title.y1 <= page.bbox.y1
    assert max(box.y1 for box in panels) <= title.y0
    assert legend.y1 <= min(box.y0 for box in panels)
    assert caption.y1 <= legend.y0
    assert caption.y0 >= 0
    for box in (title, caption, legend):
        assert 0 <= box.x0 < box.x1 <= page.bbox.x1


def texts_of(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_names_are_shown_and_nothing_more():
    svg = drawn(everything(HOSTILE), ".svg", style="paper").decode()
    assert "\x1b" not in svg
    assert "\u202e" not in svg
    shown = [text for text in texts_of(svg) if "$x^2$" in text]
    assert len(shown) >= 8
    whole = r"=run\x1b[31m $x^2$ _a_ &lt;b&gt;&amp;\u202e"
    # in one line, or a line of it
    assert all(whole in text or text.strip() in whole for text in shown if "Of" not in text)
    assert sum(whole in text for text in shown) >= 6


def test_all_words_of_a_figure_are_text(svg):
    figure, texts = everything(), texts_of(svg)
    words = " ".join(texts)
    for panel in figure.panels:
        assert {panel.title, panel.x.label, panel.y.label} <= set(texts)
    for word in " ".join([figure.title, *figure.caption]).split():
        assert word in words


def test_no_text_is_smaller_than_seven_points_at_the_width_of_a_column(svg):
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:\w+ )*?([\d.]+)px", svg)]
    assert len(sizes) == len(texts_of(svg))
    assert min(sizes) >= 7
    assert re.search(r'width="237.6pt"', svg)


def test_text_of_a_pdf_is_embedded_as_a_font_that_can_be_edited():
    pdf = drawn(everything(), ".pdf", style="paper")
    assert b"/FontType 42" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf


def test_the_users_own_settings_of_matplotlib_are_untouched():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    drawn(everything(), ".png", style="dark")
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_imported():
    program = (
        "import sys; from tests.render.drawing.test_matplotlib import everything;"
        "from spectra_cli.render.drawing.registry import drawn; drawn(everything(), '.png', style='paper');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(("style", "width"), [("neon", None), ("paper", 0.5), ("paper", float("nan"))])
def test_a_style_or_width_that_cannot_be_is_refused(style, width):
    with pytest.raises(UsageError, match="expected"):
        drawn(everything(), ".png", style=style, width=width)


def test_a_missing_library_says_what_to_install(monkeypatch):
    for name in [each for each in sys.modules if each.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "spectra_cli.render.drawing.matplotlib", raising=False)
    monkeypatch.delitem(sys.modules, "spectra_cli.render.drawing.panels", raising=False)
    monkeypatch.setattr("sys.meta_path", [_Without(), *sys.meta_path])
    with pytest.raises(UsageError, match=r"pip install 'llm-spectra\[plot\]'"):
        drawn(everything(), ".png", style="paper")


class _Without:
    def find_spec(self, name, path=None, target=None):
        if name == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
