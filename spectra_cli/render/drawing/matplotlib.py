"""Whole figures by matplotlib: PNG, SVG and PDF, text as text, no state of pyplot touched."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from spectra_cli.render.drawing.keys import colour_bar
from spectra_cli.render.drawing.labels import settle_labels, thin_names
from spectra_cli.render.drawing.panels import MOST_ROWS, draw_panel
from spectra_cli.render.drawing.wrapping import inches, refit_words, wrapped
from spectra_cli.render.text.neutral import for_terminal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from spectra_cli.render.drawing.style import Style
    from spectra_cli.render.figures.figure import Figure, Panel

# suffix -> what of the metadata the format has a place for
FORMATS: Mapping[str, tuple[str, str]] = {
    ".png": ("Title", "Description"),
    ".svg": ("Title", "Description"),
    ".pdf": ("Title", "Subject"),
}
_DPI = 200
_HANDLE = 4 / 72  # of a legend: what stands beside the words, in inches a point of text
_SPACING = 1.35  # lines of text, in units of their size
_MARGIN = 0.05  # inches
_LINES = 1.2  # what matplotlib is told of lines of text
_BESIDE_PANEL = 0.075  # what stands left of a panel, or right of it, in inches a point of text
_ABOVE_AND_BELOW_PANEL = 0.085  # its title, ticks and label, in the same unit
_PANEL_WIDTH = 0.3  # at least, in inches a point of text: narrower pages have fewer columns


def picture(figure: Figure, style: Style, suffix: str, *, width: float | None = None) -> bytes:
    """A figure as the bytes of a file; the same values give the same bytes.

    Args:
        suffix: a key of FORMATS; width: of the page in inches, None for the style's.
    """
    with mpl.rc_context(_settings(style)):
        page = _page(figure, style, width or style.width)
        title, words = FORMATS[suffix]
        metadata: dict[str, Any] = {title: for_terminal(figure.title), words: for_terminal(figure.words)}
        if suffix in (".pdf", ".svg"):
            metadata |= {"Date" if suffix == ".svg" else "CreationDate": None}
        stream = io.BytesIO()
        page.savefig(stream, format=suffix[1:], dpi=_DPI, metadata=metadata)
    return stream.getvalue()


def _settings(style: Style) -> Any:
    """What of matplotlib's settings a style decides; all others are its own defaults, not the user's."""
    texts = "text.color", "axes.labelcolor", "axes.titlecolor", "xtick.labelcolor", "ytick.labelcolor"
    own: dict[str, Any] = {
        "font.size": style.text,
        "axes.titlesize": style.text + 0.5,
        "axes.titleweight": "bold",
        "axes.labelsize": style.text,
        "xtick.labelsize": style.text,
        "ytick.labelsize": style.text,
        "legend.fontsize": style.text,
        "legend.frameon": False,
        "figure.facecolor": style.ground,
        "axes.facecolor": style.ground,
        "savefig.facecolor": style.ground,
        "axes.edgecolor": style.muted,
        "xtick.color": style.muted,
        "ytick.color": style.muted,
        "axes.linewidth": 0.6,
        "hatch.linewidth": 0.4,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "spectra",
        "pdf.fonttype": 42,
        **dict.fromkeys(texts, style.ink),
    }
    # asked for its backend, matplotlib imports pyplot and chooses one
    defaults: Any = {name: value for name, value in dict.items(mpl.rcParamsDefault) if name != "backend"}
    return {**defaults, **own}


def _page(figure: Figure, style: Style, width: float) -> Page:
    columns = max(1, min(figure.columns, int(width / (_PANEL_WIDTH * style.text))))
    groups = _groups(figure.panels, columns)
    page = Page(figsize=(width, 1.0), dpi=_DPI)
    title = _paragraph(page, figure.title, style.text + 2, width, va="top", weight="bold")
    caption = _paragraph(page, figure.words, style.text, width, va="bottom", color=style.muted)
    legend = _Legend(page, figure, style, width)
    top = _height_of(title, page) + 3 * _MARGIN
    bottom = _height_of(caption, page) + 3 * _MARGIN
    below = bottom + legend.height + _MARGIN
    height = top + below + sum(_height_of_group(group, style) for group in groups)
    page.set_size_inches(width, height)
    title.set_position((_MARGIN / width, 1 - _MARGIN / height))
    caption.set_position((_MARGIN / width, _MARGIN / height))
    layout = ConstrainedLayoutEngine(rect=(0, below / height, 1, 1 - (top + below) / height))
    page.set_layout_engine(layout)
    axes = _axes(page, groups, columns, style)
    for panel, ax in zip(figure.panels, axes, strict=True):
        draw_panel(panel, ax, style)
        for words in ax.texts:
            words.set_in_layout(False)  # they are moved into the panel when its place is known
        room = width / (1 if panel.wide else columns) - _BESIDE_PANEL * style.text * (
            1 + (panel.cells is not None)
        )
        heading = wrapped(page, panel.title, room, size=style.text + 0.5, weight="bold")
        ax.set_title("\n".join(heading), loc="left")
        beside = _height(panel, style) - _ABOVE_AND_BELOW_PANEL * style.text
        ax.set_ylabel("\n".join(wrapped(page, panel.y.label, beside, size=style.text)))
        if panel.cells is not None and panel.has_numbers:
            colour_bar(page, panel.cells.scale, style, [ax])
    if figure.scale is not None:
        shaded = [ax for panel, ax in zip(figure.panels, axes, strict=True) if panel.has_shades]
        colour_bar(page, figure.scale, style, shaded or axes)
    legend.draw(axes, above=bottom / height)
    layout.execute(page)
    if refit_words(page, dict(zip(axes, figure.panels, strict=True))):
        layout.execute(page)
    _settle(page)
    for panel, ax in zip(figure.panels, axes, strict=True):
        if panel.cells is not None:
            thin_names(page, ax)
    settle_labels(page)
    return page


def _paragraph(page: Page, text: str, size: float, width: float, **look: Any) -> Text:
    """Words as wide as the page; their place is given when its height is known."""
    lines = wrapped(page, text, width - 2 * _MARGIN, size=size, weight=look.get("weight", "normal"))
    return page.text(0, 0, "\n".join(lines), fontsize=size, linespacing=_LINES, **look)


def _height_of(text: Text, page: Page) -> float:
    """Inches."""
    canvas: Any = FigureCanvasAgg(page)
    return float(text.get_window_extent(canvas.get_renderer()).height) / page.dpi


def _axes(page: Page, groups: Sequence[Sequence[Sequence[Panel]]], columns: int, style: Style) -> list[Axes]:
    """Of every panel; groups share no margins: long names beside one panel narrow no other."""
    outer = page.add_gridspec(len(groups), 1, height_ratios=[_height_of_group(one, style) for one in groups])
    axes: list[Axes] = []
    for place, rows in enumerate(groups):
        across = 1 if rows[0][0].wide else columns
        grid: Any = outer[place].subgridspec(
            len(rows), across, height_ratios=[_height_of_row(row, style) for row in rows]
        )
        axes += [
            page.add_subplot(grid[number, column])
            for number, row in enumerate(rows)
            for column, _ in enumerate(row)
        ]
    return axes


def _settle(page: Page) -> None:
    """Keeps the places of a page that is laid out, to a thousandth of a pixel.

    The last digits of the layout's solver differ from page to page, and so would the names that SVG makes of
    them.
    """
    page.set_layout_engine(None)
    for ax in page.axes:
        places = np.round(ax.get_position(original=True).extents, 6)
        ax.set_position(Bbox.from_extents(*places))


def _groups(panels: Sequence[Panel], columns: int) -> list[list[list[Panel]]]:
    """The panels row by row, in groups: a wide one has a row and a group of its own."""
    groups: list[list[list[Panel]]] = []
    for panel in panels:
        if panel.wide or not groups or groups[-1][0][0].wide:
            groups.append([[panel]])
        elif len(groups[-1][-1]) < columns:
            groups[-1][-1].append(panel)
        else:
            groups[-1].append([panel])
    return groups


def _height_of_group(rows: Sequence[Sequence[Panel]], style: Style) -> float:
    """Inches."""
    return sum(_height_of_row(row, style) for row in rows)


def _height_of_row(row: Sequence[Panel], style: Style) -> float:
    """Inches."""
    return max(_height(panel, style) for panel in row)


def _height(panel: Panel, style: Style) -> float:
    """Inches."""
    if not panel.wide or panel.cells is None:
        return style.panel_height
    lines = min(len(panel.cells.rows), MOST_ROWS) + 4 + 0.5 * max(map(len, panel.cells.columns))
    return max(style.panel_height, lines * style.text * _SPACING / 72)


class _Legend:
    """One legend for all panels, above the caption: what stands in several is named once."""

    def __init__(self, page: Page, figure: Figure, style: Style, width: float) -> None:
        room = width - 2 * _MARGIN - _HANDLE * style.text
        self._page = page
        self._names = {
            label: wrapped(page, label, room, size=style.text) for label in map(for_terminal, _labels(figure))
        }
        every = [line for lines in self._names.values() for line in lines]
        longest = max((inches(page, line, size=style.text) for line in every), default=0.0)
        self._columns = max(1, min(len(self._names), int(width / (longest + _HANDLE * style.text))))
        rows = -(-len(self._names) // self._columns)
        lines = rows * max(map(len, self._names.values()), default=0)
        self.height = lines * style.text * _SPACING * 1.3 / 72  # inches

    def draw(self, axes: Sequence[Axes], *, above: float) -> None:
        """Draw it over a height of the page."""
        found: dict[str, Any] = {}
        for ax in axes:
            handles, labels = ax.get_legend_handles_labels()
            for handle, label in zip(handles, labels, strict=True):
                found.setdefault(label, handle)
        if found:
            names = ["\n".join(self._names[label]) for label in found]
            place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, above)}
            self._page.legend(found.values(), names, ncols=self._columns, borderaxespad=0.2, **place)


def _labels(figure: Figure) -> list[str]:
    bars = [one.label for panel in figure.panels for one in panel.bars]
    series = [one.label for panel in figure.panels for one in panel.series]
    return [label for label in dict.fromkeys(bars + series) if label]
