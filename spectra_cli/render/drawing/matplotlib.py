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
from spectra_cli.render.drawing.panels import MOST_ROWS, draw_panel
from spectra_cli.render.text.neutral import for_terminal

if TYPE_CHECKING:
    from spectra_cli.render.drawing.style import Style
    from spectra_cli.render.figures.figure import Figure, Panel

# suffix -> what of the metadata the format has a place for
FORMATS: Mapping[str, tuple[str, str]] = {
    ".png": ("Title", "Description"),
    ".svg": ("Title", "Description"),
    ".pdf": ("Title", "Subject"),
}
_DPI = 200
_SPACING = 1.35  # lines of text, in units of their size
_MARGIN = 0.05  # inches
_BESIDE_PANEL = 0.075  # what stands left of a panel, or right of it, in inches a point of text
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
    rows = _rows(figure.panels, columns)
    heights = [max(_height(panel, style) for panel in row) for row in rows]
    page = Page(figsize=(width, 1.0), dpi=_DPI)
    title = _wrapped(page, figure.title, style.text + 2, width, weight="bold")
    caption = _wrapped(page, figure.words, style.text, width)
    legend = _num_legend_rows(figure, style, width)
    of_line = style.text * _SPACING / 72
    top = len(title) * (style.text + 2) * _SPACING / 72 + 2 * _MARGIN
    bottom = len(caption) * of_line + 3 * _MARGIN
    below = bottom + legend * of_line * 1.3 + _MARGIN
    height = top + below + sum(heights)
    page.set_size_inches(width, height)
    layout = ConstrainedLayoutEngine(rect=(0, below / height, 1, 1 - (top + below) / height))
    page.set_layout_engine(layout)
    grid = page.add_gridspec(len(rows), columns, height_ratios=heights)
    axes = [
        page.add_subplot(grid[number, :] if panel.wide else grid[number, place])
        for number, row in enumerate(rows)
        for place, panel in enumerate(row)
    ]
    for panel, ax in zip(figure.panels, axes, strict=True):
        draw_panel(panel, ax, style)
        room = width / (1 if panel.wide else columns) - _BESIDE_PANEL * style.text * (
            1 + (panel.cells is not None)
        )
        heading = _wrapped(page, panel.title, style.text + 0.5, room, weight="bold")
        ax.set_title("\n".join(heading), loc="left")
        if panel.cells is not None:
            colour_bar(page, panel.cells.scale, style, [ax])
    if figure.scale is not None:
        colour_bar(page, figure.scale, style, axes)
    _legend(page, axes, style, width, above=bottom / height)
    margin = _MARGIN / width
    heavy: dict[str, Any] = {"fontsize": style.text + 2, "weight": "bold"}
    page.text(margin, 1 - _MARGIN / height, "\n".join(title), va="top", linespacing=1.2, **heavy)
    page.text(margin, _MARGIN / height, "\n".join(caption), va="bottom", linespacing=1.2, color=style.muted)
    for text in page.findobj(Text):
        text.set_parse_math(False)
    _settle(page, layout)
    return page


def _settle(page: Page, layout: ConstrainedLayoutEngine) -> None:
    """Lays the page out, once, and keeps the places to a thousandth of a pixel.

    The last digits of the layout's solver differ from page to page, and so would the names that SVG makes of
    them.
    """
    layout.execute(page)
    page.set_layout_engine(None)
    for ax in page.axes:
        places = np.round(ax.get_position(original=True).extents, 6)
        ax.set_position(Bbox.from_extents(*places))


def _rows(panels: Sequence[Panel], columns: int) -> list[list[Panel]]:
    """The panels row by row; a wide one has a row of its own."""
    rows: list[list[Panel]] = []
    for panel in panels:
        if rows and not panel.wide and not rows[-1][0].wide and len(rows[-1]) < columns:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    return rows


def _height(panel: Panel, style: Style) -> float:
    """Inches."""
    if not panel.wide or panel.cells is None:
        return style.panel_height
    lines = min(len(panel.cells.rows), MOST_ROWS) + 4 + 0.5 * max(map(len, panel.cells.columns))
    return max(style.panel_height, lines * style.text * _SPACING / 72)


def _labels(figure: Figure) -> list[str]:
    bars = [one.label for panel in figure.panels for one in panel.bars]
    series = [one.label for panel in figure.panels for one in panel.series]
    return [label for label in dict.fromkeys(bars + series) if label]


def _per_row(labels: list[str], style: Style, width: float) -> int:
    longest = max(map(len, labels), default=0) * style.text * 0.55 / 72 + 4 * style.text / 72
    return max(1, min(len(labels), int(width / longest)))


def _num_legend_rows(figure: Figure, style: Style, width: float) -> int:
    labels = _labels(figure)
    return -(-len(labels) // _per_row(labels, style, width)) if labels else 0


def _legend(page: Page, axes: Any, style: Style, width: float, *, above: float) -> None:
    """One legend for all panels, above the caption: what stands in several is named once."""
    found: dict[str, Any] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            found.setdefault(label, handle)
    if found:
        per_row = _per_row(list(found), style, width)
        place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, above)}
        page.legend(found.values(), found.keys(), ncols=per_row, borderaxespad=0.2, **place)


def _wrapped(page: Page, text: str, size: float, width: float, *, weight: str = "normal") -> list[str]:
    """The lines of a paragraph, as wide as the page: measured, not guessed."""
    canvas: Any = FigureCanvasAgg(page)
    renderer = canvas.get_renderer()
    room = (width - 2 * _MARGIN) * page.dpi
    probe = Text(0, 0, "", fontsize=size, weight=weight, figure=page)
    lines: list[str] = []
    for word in for_terminal(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        probe.set_text(longer)
        probe.set_parse_math(False)
        if lines and probe.get_window_extent(renderer).width <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
