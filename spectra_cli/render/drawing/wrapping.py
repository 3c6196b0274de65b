"""Words in lines as wide as there is room: measured, not guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page
from matplotlib.text import Text

from spectra_cli.render.figures.figure import Panel
from spectra_cli.render.text.neutral import for_terminal

_CLEAR = 0.1  # inches beside a title, and by which a label may be longer than its axis
_BREAKS = (
    "-_/.:"  # after these a word that is wider than the line is broken, if one stands in its second half
)


def wrapped(page: Page, text: str, room: float, *, size: float, weight: str = "normal") -> list[str]:
    """The lines of a paragraph; a word that is wider than a line is broken, and nothing of it is lost.

    Args:
        room: in inches; size: of the letters in points.
    """
    ruler = _Ruler(page, size, weight)
    lines: list[str] = []
    for word in for_terminal(text).split():
        if lines and ruler.inches(f"{lines[-1]} {word}") <= room:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines += _broken(word, room, ruler)
    return lines


def inches(page: Page, text: str, *, size: float, weight: str = "normal") -> float:
    """How wide a line is."""
    return _Ruler(page, size, weight).inches(for_terminal(text))


def refit_words(page: Page, panels: Mapping[Axes, Panel]) -> bool:
    """Wrap titles and labels that reach beyond their axes, once it is known how large these are.

    Args:
        panels: what is drawn in which axes, with their words in one line; bars of shades are not among them.

    Returns:
        Whether there were any: the page is then to be laid out again.
    """
    canvas: Any = FigureCanvasAgg(page)
    renderer = canvas.get_renderer()
    bounds = {ax: ax.get_window_extent(renderer) for ax in page.axes}
    refitted = False
    for ax, own in bounds.items():
        title = ax._left_title  # type: ignore[attr-defined]  # matplotlib has no other way to it
        box = title.get_window_extent(renderer)
        # a panel to the right has a title at the same height, a bar of shades has none
        edges = [
            place.x0
            for other, place in bounds.items()
            if place.x0 > own.x0
            and place.y0 < box.y1
            and place.y1 + (0.0 if hasattr(other, "_colorbar") else box.height) > box.y0
        ]
        right = min([page.bbox.x1, *edges]) - _CLEAR * page.dpi
        rooms = [(title, box.width, right - own.x0)]
        rooms += [
            (ax.xaxis.label, ax.xaxis.label.get_window_extent(renderer).width, own.width + _CLEAR * page.dpi)
        ]
        rooms += [
            (
                ax.yaxis.label,
                ax.yaxis.label.get_window_extent(renderer).height,
                own.height + _CLEAR * page.dpi,
            )
        ]
        for text, length, room in rooms:
            if text.get_text() and length > room:
                size, weight = float(text.get_fontsize()), str(text.get_fontweight())
                words = _whole(text, ax, panels)
                text.set_text("\n".join(wrapped(page, words, room / page.dpi, size=size, weight=weight)))
                refitted = True
    return refitted


def _whole(text: Text, ax: Axes, panels: Mapping[Axes, Panel]) -> str:
    """The words of a title or a label before they were wrapped."""
    if ax not in panels:
        return text.get_text()
    panel = panels[ax]
    if text is ax.yaxis.label:
        return panel.y.label
    return panel.x.label if text is ax.xaxis.label else panel.title


class _Ruler:
    def __init__(self, page: Page, size: float, weight: str) -> None:
        canvas: Any = FigureCanvasAgg(page)
        self._renderer = canvas.get_renderer()
        self._dpi = page.dpi
        self._probe = Text(0, 0, "", fontsize=size, weight=weight, figure=page, parse_math=False)

    def inches(self, text: str) -> float:
        self._probe.set_text(text)
        return float(self._probe.get_window_extent(self._renderer).width) / self._dpi


def _broken(word: str, room: float, ruler: _Ruler) -> list[str]:
    """A word in pieces, none of them wider than a line, each of a letter at least."""
    pieces = []
    while len(word) > 1 and ruler.inches(word) > room:
        fits = max((end for end in range(1, len(word)) if ruler.inches(word[:end]) <= room), default=1)
        at = max((word.rfind(sign, 0, fits) for sign in _BREAKS), default=-1) + 1
        end = at if at > fits // 2 else fits
        pieces.append(word[:end])
        word = word[end:]
    return [*pieces, word]
