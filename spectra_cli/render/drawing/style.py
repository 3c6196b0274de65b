"""Colours, sizes and symbols of drawn figures: one table a ground.

Colours of a palette are told apart under the three kinds of colour-blindness, in grey, and against their
ground; beside colour, each has a dash and a symbol of its own (docs/explanation/figures.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

# lightness grows along it evenly, also for the colour-blind: van der Walt and Smith's viridis, nine points
_VIRIDIS = (
    "#440154",
    "#472d7b",
    "#3b528b",
    "#2c728e",
    "#21918c",
    "#28ae80",
    "#5ec962",
    "#addc30",
    "#fde725",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How figures look on one kind of page.

    Attributes:
        ground, ink, muted: of the page, of text, and of what only helps to read.
        palette: categories in order.
        shades: of a scale, from its low to its high end.
        diverging: of a scale whose middle is zero.
        width: inches; text: points of the smallest text; panel_height: inches of one row of panels.
        line: points.
    """

    ground: str
    ink: str
    muted: str
    palette: tuple[str, ...]
    shades: tuple[str, ...]
    diverging: tuple[str, ...]
    width: float
    text: float
    panel_height: float
    line: float


_LIGHT = ("#2f8ff5", "#a83208", "#3d12c4", "#0b0d2a", "#8a7267", "#3f1512")
_DARK = ("#4a86ff", "#f58a1f", "#f4f6fa", "#d3173f", "#e9a6ff", "#36ef95")

_PAPER = Style(
    ground="#ffffff",
    ink="#101216",
    muted="#6b7078",
    palette=_LIGHT,
    shades=_VIRIDIS[:8],
    diverging=("#2166ac", "#67a9cf", "#f4f4f4", "#ef8a62", "#b2182b"),
    width=6.75,
    text=7.0,
    panel_height=2.1,
    line=1.1,
)
STYLES: Mapping[str, Style] = {
    "paper": _PAPER,
    "slides": replace(_PAPER, width=12.0, text=13.0, panel_height=3.6, line=2.0),
    "dark": replace(
        _PAPER,
        ground="#14161c",
        ink="#e8eaf0",
        muted="#9097a3",
        palette=_DARK,
        shades=_VIRIDIS[1:],
        diverging=("#6db3ff", "#2f5f96", "#24272f", "#a5482a", "#ff9d73"),
    ),
}
# of each category, beside its colour
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.5, 1.2), (6, 1.5, 1.2, 1.5), (3, 1), (8, 2))
SYMBOLS = "osD^vP"
