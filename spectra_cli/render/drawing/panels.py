"""One panel in matplotlib's axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap

from spectra_cli.render.drawing.labels import OF_A_HATCHED_WINDOW, OF_A_POINT, OF_A_WINDOW
from spectra_cli.render.drawing.style import DASHES, SYMBOLS
from spectra_cli.render.drawing.tick_places import place_ticks
from spectra_cli.render.figures.figure import Ink, Look, Symbol, WindowKind
from spectra_cli.render.text.neutral import for_terminal

if TYPE_CHECKING:
    from spectra_cli.render.drawing.style import Style
    from spectra_cli.render.figures.figure import Axis as FigureAxis
    from spectra_cli.render.figures.figure import Bars, Cells, Mark, Panel, Rule, Scale, Series, Window

# of the axis: a hatch in a narrower stretch is nothing but dots, and a shade a stray line
_NARROWEST_HATCH, _NARROWEST_SHADE = 0.1, 0.02
_BAND, _FEW = (
    0.22,
    6,
)  # how dense a band of errors is, beside so many others at most: of more, lines are to be seen
_MOST_NAMES = 24  # of rows that stand beside cells
MOST_ROWS = 60  # the same where the panel is as high as they need
_SHORT_NAME = 6  # letters; longer names of columns stand upright
_SYMBOLS = {Symbol.WITHHELD: "x", Symbol.TURN: "D", Symbol.POINT: "o"}


def shades_of(scale: Scale, style: Style) -> Colormap:
    """The shades of a scale."""
    colours = style.diverging if scale.diverging else style.shades
    return LinearSegmentedColormap.from_list(scale.label, list(colours))


def colour_of(ink: Ink, style: Style) -> Any:
    """What matplotlib takes for a colour."""
    if ink.muted:
        return style.muted
    if ink.shade is not None:
        return LinearSegmentedColormap.from_list("", list(style.shades))(ink.shade)
    return style.palette[ink.category % len(style.palette)]


def draw_panel(panel: Panel, ax: Axes, style: Style) -> list[Artist]:
    """Draw a panel into axes, which may be the caller's own.

    Returns:
        What was drawn of the data, in order.
    """
    ax.set_title(for_terminal(panel.title), loc="left", parse_math=False)
    drawn: list[Artist] = []
    spans = []
    for window in panel.windows:
        drawn += _window(window, ax, style)
        spans.append(drawn[-2])
    if panel.cells is not None:
        drawn += _cells(panel.cells, ax, style, wide=panel.wide)
    else:
        ax.set(xscale=_scale(panel.x), yscale=_scale(panel.y))
    for bars in panel.bars:
        drawn.append(_bars(bars, ax, style))
    with_errors = sum(one.low is not None for one in panel.series)
    for series in panel.series:
        drawn += _series(series, ax, style, shade=_BAND / max(1.0, with_errors / _FEW))
    for number, rule in enumerate(panel.rules):
        drawn += _rule(rule, ax, style, after=number % 2 == 1)
    for mark in panel.marks:
        drawn += _mark(mark, ax, style)
    ax.set_xlabel(for_terminal(panel.x.label), parse_math=False)
    ax.set_ylabel(for_terminal(panel.y.label), parse_math=False)
    if panel.cells is None:
        # only now, when the data have made room for themselves
        ax.set(xlim=(panel.x.low, panel.x.high), ylim=(panel.y.low, panel.y.high))
        place_ticks(ax.xaxis, ax.get_xlim(), log=panel.x.log, only=panel.only_place)
        if panel.has_numbers:
            place_ticks(ax.yaxis, ax.get_ylim(), log=panel.y.log)
        else:
            ax.set_yticks([], minor=False)
            ax.set_yticks([], minor=True)
        for window, span in zip(panel.windows, spans, strict=True):
            share = _share_of_axis(window, ax)
            if window.kind is WindowKind.UNREADABLE and share < _NARROWEST_HATCH:
                span.set(hatch=None, facecolor=style.muted, alpha=0.25, visible=share > _NARROWEST_SHADE)
    if panel.is_empty:
        drawn.append(_words(ax, 0.5, 0.5, "no value", style, ha="center", transform=ax.transAxes))
    return drawn


def _scale(axis: FigureAxis) -> str:
    return "log" if axis.log else "linear"


def _share_of_axis(window: Window, ax: Axes) -> float:
    corners = [(end, ax.get_ylim()[0]) for end in (window.low, window.high)]
    low, high = ax.transAxes.inverted().transform(ax.transData.transform(corners))[:, 0]
    return float(min(high, 1.0) - max(low, 0.0))


def _words(ax: Axes, x: float, y: float, text: str, style: Style, **settings: Any) -> Artist:
    settings = {"color": style.muted, "fontsize": style.text, "parse_math": False, **settings}
    return ax.text(x, y, for_terminal(text, keep="\n"), **settings)


def _window(window: Window, ax: Axes, style: Style) -> list[Artist]:
    unreadable = window.kind is WindowKind.UNREADABLE
    look: dict[str, Any] = {"facecolor": colour_of(window.ink, style), "alpha": 0.10, "linewidth": 0}
    if window.kind is WindowKind.PHASE:
        look |= {"edgecolor": style.muted, "linewidth": 0.5}
    if unreadable:
        look = {"facecolor": "none", "edgecolor": style.muted, "hatch": "////", "alpha": 0.45, "linewidth": 0}
    span = ax.axvspan(window.low, window.high, zorder=0, **look)
    # inside the window, and where it is narrow, on over its right end; a page moves it to where it is free
    at_the_top = window.kind is WindowKind.PHASE
    text = _words(
        ax,
        window.low,
        0.985 if at_the_top else 0.02,
        "\n".join(f" {line}" for line in window.label.split("\n")),
        style,
        va="top" if at_the_top else "bottom",
        transform=ax.get_xaxis_transform(),
        clip_on=True,
        zorder=5,
        label=OF_A_HATCHED_WINDOW if unreadable else OF_A_WINDOW,
        bbox={"facecolor": ax.get_facecolor(), "alpha": 0.75, "linewidth": 0, "pad": 0.5}
        if window.label
        else None,
    )
    return [span, text]


def _cells(cells: Cells, ax: Axes, style: Style, *, wide: bool) -> list[Artist]:
    rows, columns = len(cells.rows), len(cells.columns)
    across, down = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    shares = cells.scale.shares(cells.values)
    mesh = ax.pcolormesh(
        across, down, np.ma.masked_invalid(shares), cmap=shades_of(cells.scale, style), vmin=0.0, vmax=1.0
    )
    withheld = np.ma.masked_where(cells.reasons == "", np.zeros((rows, columns)))
    drawn: list[Artist] = [mesh]
    if withheld.count():
        hatched = ax.pcolor(
            across, down, withheld, cmap="gray", alpha=0.0, hatch="/////", edgecolor=style.muted
        )
        hatched.set(alpha=None, facecolor="none", linewidth=0.0)
        drawn.append(hatched)
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    if max(map(len, cells.columns), default=0) > _SHORT_NAME:
        _names(ax.xaxis, cells.columns, most=MOST_ROWS)
        ax.tick_params(axis="x", rotation=90)
    else:
        _names(ax.xaxis, cells.columns, most=8)
    _names(ax.yaxis, cells.rows, most=MOST_ROWS if wide else _MOST_NAMES)
    if cells.signs is not None:
        for row, column in np.argwhere(cells.signs != ""):
            light = _is_light(mesh.cmap(mesh.norm(shares[row, column])))
            colour = "#101216" if light else "#ffffff"
            sign = str(cells.signs[row, column])
            drawn.append(_words(ax, column, row, sign, style, ha="center", va="center", color=colour))
    return drawn


def _is_light(colour: Any) -> bool:
    red, green, blue = colour[:3]
    return float(0.299 * red + 0.587 * green + 0.114 * blue) > 0.55


def _names(axis: Any, names: tuple[str, ...], *, most: int) -> None:
    """Names at the middle of cells: all, or the first, the last and some evenly between."""
    places = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    axis.set_ticks(places, [for_terminal(names[place]) for place in places], parse_math=False)


def _bars(bars: Bars, ax: Axes, style: Style) -> Artist:
    return ax.stairs(
        bars.heights,
        bars.edges,
        fill=True,
        alpha=0.55,
        color=colour_of(bars.ink, style),
        label=for_terminal(bars.label) or None,
    )


def _series(series: Series, ax: Axes, style: Style, *, shade: float) -> list[Artist]:
    colour = colour_of(series.ink, style)
    place = series.ink.category % len(SYMBOLS)
    categorical = series.ink.shade is None and not series.ink.muted
    dashes = DASHES[place] if categorical else ()
    if series.look in (Look.DASHED, Look.FIT):
        dashes = (2.5, 1.5)
    with_points = series.look in (Look.POINTS, Look.BOTH)
    drawn: list[Artist] = []
    (line,) = ax.plot(
        series.x,
        series.y,
        color=colour,
        linewidth=style.line,
        linestyle="none" if series.look is Look.POINTS else "-" if not dashes else (0, dashes),
        marker=(SYMBOLS[place] if categorical else "o") if with_points else None,
        markersize=2.6 * style.line + 1,
        label=for_terminal(series.label) or None,
        zorder=3.5 if series.look is Look.FIT else 3,
    )
    if series.look is Look.FIT:
        line.set(marker="|", markevery=[0, series.x.size - 1], markersize=4 * style.line + 2)
    drawn.append(line)
    if series.low is not None and series.high is not None:
        if with_points:
            lengths = np.nan_to_num(np.stack([series.y - series.low, series.high - series.y]), nan=0.0)
            bars = ax.errorbar(
                series.x,
                series.y,
                np.maximum(lengths, 0.0),
                fmt="none",
                ecolor=colour,
                elinewidth=0.8 * style.line,
                capsize=1.5 * style.line,
            )
            drawn += bars.lines[2]
        else:
            drawn.append(
                ax.fill_between(series.x, series.low, series.high, color=colour, alpha=shade, linewidth=0)
            )
    for x, y, name in zip(series.x, series.y, series.names, strict=False):
        drawn.append(_name(name, x, y, ax, style))
    return drawn


def _name(name: str, x: float, y: float, ax: Axes, style: Style) -> Artist:
    """Words beside a point."""
    return ax.annotate(
        for_terminal(name),
        (x, y),
        xytext=(style.text * 0.5, style.text * 0.3),
        textcoords="offset points",
        color=style.ink,
        fontsize=style.text,
        annotation_clip=True,
        parse_math=False,
        label=OF_A_POINT,
    )


def _rule(rule: Rule, ax: Axes, style: Style, *, after: bool) -> list[Artist]:
    """A rule with its label before it, or after it where it is the second of two."""
    colour = colour_of(rule.ink, style)
    look: dict[str, Any] = {"color": colour, "linewidth": 0.8 * style.line, "linestyle": (0, (4, 2))}
    if rule.vertical:
        words: dict[str, Any] = {
            "rotation": 90,
            "va": "top",
            "ha": "left" if after else "right",
            "transform": ax.get_xaxis_transform(),
        }
        text = _words(ax, rule.at, 0.98, rule.label, style, color=colour, clip_on=True, **words)
        return [ax.axvline(rule.at, **look), text]
    words = {"va": "bottom", "ha": "left", "transform": ax.get_yaxis_transform()}
    return [
        ax.axhline(rule.at, **look),
        _words(ax, 0.01, rule.at, rule.label, style, color=colour, clip_on=True, **words),
    ]


def _mark(mark: Mark, ax: Axes, style: Style) -> list[Artist]:
    colour = colour_of(mark.ink, style)
    at_the_end: dict[str, Any] = {"transform": ax.get_xaxis_transform()} if mark.y is None else {}
    y = 0.03 if mark.y is None else mark.y
    look: dict[str, Any] = {
        "color": colour,
        "marker": _SYMBOLS[mark.symbol],
        "linestyle": "none",
        "zorder": 4,
    }
    drawn: list[Artist] = list(ax.plot([mark.x], [y], markersize=3.2 * style.line + 1, **look, **at_the_end))
    if mark.low is not None and mark.high is not None:
        bar: dict[str, Any] = {"color": colour, "linewidth": 1.4 * style.line, "zorder": 4}
        drawn += ax.plot([mark.low, mark.high], [y, y], **bar, **at_the_end)
    if mark.text and mark.y is not None:
        drawn.append(_name(mark.text, mark.x, mark.y, ax, style))
    elif mark.text:
        drawn.append(_words(ax, mark.x, y, f" {mark.text}", style, va="bottom", clip_on=True, **at_the_end))
    return drawn
