"""Figures in the characters of a terminal: braille dots in colour, or plain letters.

The third renderer of the same figures: it shows shapes, and leaves errors to the pictures and the tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from spectra_cli.core.types import FloatArray
from spectra_cli.render.drawing.ticks import plain as plain_tick
from spectra_cli.render.drawing.ticks import power_of_ten
from spectra_cli.render.figures.figure import Axis, Ink, Look, Panel, Scale, Series, WindowKind
from spectra_cli.render.table import Line, line

# of the dots of a braille character: column, then row
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_LETTERS = "ox+*sd"
_CATEGORY_STYLES = ("bright_blue", "yellow", "magenta", "white", "red", "green")
_SHADE_STYLES = ("color(55)", "color(61)", "color(31)", "color(36)", "color(35)", "color(112)")
_HATCH, _PLAIN_HATCH = "░", "/"
_STEPS = 400  # points that a line is drawn by, between its own


def chart(panel: Panel, scale: Scale | None, *, width: int, height: int, plain: bool) -> list[Line]:
    """One panel of lines over numbers, as lines of text.

    Args:
        scale: of the shades of its series.
        width, height: cells, all words included.
        plain: ASCII letters in place of braille dots; no colour is to be shown.
    """
    ends_x, ends_y = _ends(panel, panel.x, "x"), _ends(panel, panel.y, "y")
    if ends_x is None or ends_y is None:
        return [line(panel.title, style="bold"), line("no value to draw")]
    names = [text for text, _ in _ticks(panel.y, ends_y, 6)]
    margin = max(len(name) for name in names) + 2
    legend = [*_legend(panel, scale, plain=plain), *_window_words(panel, width, plain=plain)]
    canvas = _Canvas(max(width - margin, 20), max(height - 4 - len(legend), 5), plain=plain)
    for window in panel.windows:
        if window.kind is WindowKind.UNREADABLE:
            canvas.hatch(*(_share(panel.x, ends_x, end) for end in (window.low, window.high)))
    for series in _in_order(panel.series):
        _draw(canvas, series, panel, ends_x, ends_y)
    left = dict.fromkeys(range(canvas.rows), "")
    for text, share in _ticks(panel.y, ends_y, 6):
        left[round((1 - share) * (canvas.rows - 1))] = text
    label_x, label_y = (_ascii(one.label) if plain else one.label for one in (panel.x, panel.y))
    bar, corner, rule = ("|", "+", "-") if plain else ("│", "└", "─")
    rows = [
        Line(pieces=((f"{left[row]:>{margin - 2}} {bar}", "dim"), *canvas.row(row)))
        for row in range(canvas.rows)
    ]
    return [
        line((panel.title, "bold"), (f"   {label_y}", "dim")),
        *rows,
        line(f"{' ' * (margin - 1)}{corner}{rule * canvas.columns}", style="dim"),
        line(_x_names(panel, ends_x, margin, canvas.columns), style="dim"),
        line(f"{' ' * margin}{label_x}", style="dim"),
        *legend,
    ]


class _Canvas:
    """Cells of text in which dots are set; a cell has the style of what was set last."""

    def __init__(self, columns: int, rows: int, *, plain: bool) -> None:
        self.columns, self.rows, self.plain = columns, rows, plain
        self._cells: dict[tuple[int, int], tuple[str, str]] = {}
        self._dots: dict[tuple[int, int], int] = {}

    def set(self, x: float, y: float, letter: str, style: str) -> None:
        """Set the dot at shares (0 to 1) of the width and of the height."""
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            return
        if self.plain:
            cell = round(x * (self.columns - 1)), round((1 - y) * (self.rows - 1))
            self._cells[cell] = letter, style
            return
        across, down = round(x * (2 * self.columns - 1)), round((1 - y) * (4 * self.rows - 1))
        cell = across // 2, down // 4
        self._dots[cell] = self._dots.get(cell, 0) | _DOTS[across % 2][down % 4]
        self._cells[cell] = chr(0x2800 + self._dots[cell]), style

    def hatch(self, low: float, high: float) -> None:
        """Fill a stretch of the width, which lines are then drawn over."""
        first, last = (round(min(max(share, 0.0), 1.0) * (self.columns - 1)) for share in (low, high))
        for column in range(first, last + 1):
            for row in range(self.rows):
                self._cells[column, row] = (_PLAIN_HATCH if self.plain else _HATCH), "dim"

    def row(self, row: int) -> Iterator[tuple[str, str]]:
        """The pieces of a row, each with its style."""
        text, style = "", ""
        for column in range(self.columns):
            character, own = self._cells.get((column, row), (" ", ""))
            if own != style and text:
                yield text, style
                text = ""
            text, style = text + character, own
        yield text.rstrip(), style


def _in_order(series: Sequence[Series]) -> list[Series]:
    """What is told apart by colour last, so that it stands above what only helps to read."""
    return sorted(series, key=lambda one: (not one.ink.muted, one.look not in (Look.DASHED, Look.FIT)))


def _draw(
    canvas: _Canvas, series: Series, panel: Panel, ends_x: tuple[float, float], ends_y: tuple[float, float]
) -> None:
    letter, style = _letter(series.ink), _style(series.ink)
    x = np.array([_share(panel.x, ends_x, one) for one in series.x])
    y = np.array([_share(panel.y, ends_y, one) for one in series.y])
    for place, here in enumerate(zip(x, y, strict=True)):
        if not np.isfinite(here).all():
            continue
        canvas.set(here[0], here[1], letter, style)
        if series.look is Look.POINTS or place + 1 == x.size or canvas.plain:
            continue
        there = x[place + 1], y[place + 1]
        if np.isfinite(there).all():
            steps = max(2, round(_STEPS * max(abs(there[0] - here[0]), abs(there[1] - here[1]))))
            for share in np.linspace(0.0, 1.0, steps):
                between = [(1 - share) * a + share * b for a, b in zip(here, there, strict=True)]
                canvas.set(between[0], between[1], letter, style)


def _letter(ink: Ink) -> str:
    if ink.muted:
        return "."
    if ink.shade is not None:
        return str(round(ink.shade * 9))
    return _LETTERS[ink.category % len(_LETTERS)]


def _style(ink: Ink) -> str:
    if ink.muted:
        return "dim"
    if ink.shade is not None:
        return _SHADE_STYLES[round(ink.shade * (len(_SHADE_STYLES) - 1))]
    return _CATEGORY_STYLES[ink.category % len(_CATEGORY_STYLES)]


def _ends(panel: Panel, axis: Axis, name: str) -> tuple[float, float] | None:
    """The least and the largest number that is drawn along an axis."""
    every: FloatArray = np.concatenate([getattr(one, name) for one in panel.series] or [np.empty(0)])
    every = every[np.isfinite(every) & ((every > 0) | (not axis.log))]
    if not every.size:
        return None
    low, high = float(every.min()), float(every.max())
    if low == high:
        low, high = (low / 2, high * 2) if axis.log else (low - 0.5, high + 0.5)
    return low, high


def _share(axis: Axis, ends: tuple[float, float], value: float) -> float:
    low, high = ends
    if axis.log:
        if value <= 0:
            return math.nan
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _ticks(axis: Axis, ends: tuple[float, float], most: int) -> list[tuple[str, float]]:
    """Numbers to stand at an axis, and where: powers of ten, or round numbers."""
    low, high = ends
    if axis.log and math.log10(high / low) >= 1:
        powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        chosen = list(powers)[:: max(1, -(-len(powers) // most))]
        return [(_ascii(power_of_ten(10.0**one)), _share(axis, ends, 10.0**one)) for one in chosen]
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(_ascii(plain_tick(n * step)), _share(axis, ends, n * step)) for n in range(first, last + 1)]


def _x_names(panel: Panel, ends: tuple[float, float], margin: int, columns: int) -> str:
    axis, only = panel.x, panel.only_place
    ticks = _ticks(axis, ends, 8)
    if only is not None:
        ticks = [(_ascii(plain_tick(only)), _share(axis, ends, only))]
    cells = [" "] * (margin + columns + 8)
    free = 0
    for text, share in ticks:
        start = margin + round(share * (columns - 1)) - len(text) // 2
        if start >= free and start + len(text) <= margin + columns:
            cells[start : start + len(text)] = text
            free = start + len(text) + 1
    return "".join(cells).rstrip()


def _legend(panel: Panel, scale: Scale | None, *, plain: bool) -> list[Line]:
    """What the letters or colours are."""
    labelled = {one.label: one.ink for one in panel.series if one.label}
    pieces: list[tuple[str, str]] = []
    for label, ink in labelled.items():
        pieces += [(f"{_letter(ink) if plain else '━━'} ", _style(ink)), (f"{label}   ", "")]
    named = [line("  ", *pieces)] if pieces else []
    if scale is None or not panel.has_shades:
        return named
    ends = [_ascii(plain_tick(end)) for end in (scale.low, scale.high)]
    if plain:
        by = " by its logarithm" if scale.log else ""
        return [line(f"  digits: {scale.label}{by}, 0 at {ends[0]} to 9 at {ends[1]}"), *named]
    bar = [("━━", style) for style in _SHADE_STYLES]
    return [line(f"  {scale.label} {ends[0]} ", *bar, f" {ends[1]}"), *named]


def _window_words(panel: Panel, width: int, *, plain: bool) -> list[Line]:
    """What windows are labelled with, in as many lines as they need."""
    labels = [" ".join(window.label.split()) for window in panel.windows if window.label]
    rows: list[str] = []
    for label in labels:
        shown = (_ascii(label) if plain else label).replace("±", "+-" if plain else "±")
        if rows and len(rows[-1]) + len(shown) + 2 <= width:
            rows[-1] += f"; {shown}"
        else:
            rows.append(f"  {shown}")
    return [line(row, style="dim") for row in rows]


_RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def _ascii(text: str) -> str:
    """The text without what ASCII does not have.

    >>> _ascii("10⁻⁷"), _ascii("α, unit²")
    ('1e-7', 'alpha, unit^2')
    """
    if text.startswith("10") and text[2:3] in ("⁻", *"⁰¹²³⁴⁵⁶⁷⁸⁹"):
        return f"1e{text[2:].translate(_RAISED)}"
    text = text.replace("·10", "e").replace("−", "-").replace("²", "^2").replace("α", "alpha")
    return text.translate(_RAISED)
