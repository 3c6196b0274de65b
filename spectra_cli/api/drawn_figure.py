"""A figure that shows itself: the picture in a notebook, its words where Python prints it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, fields
from importlib.util import find_spec

from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.render.drawing.registry import drawn
from spectra_cli.render.drawing.style import STYLES
from spectra_cli.render.figures.figure import Figure

_PIXELS_AN_INCH = 96  # of a browser, whatever the resolution of the picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DrawnFigure(Figure):
    """A figure, and how it is drawn where it is shown.

    Attributes:
        style: `paper`, `slides` or `dark`; width: of the page, in inches, None for the style's.
    """

    style: str
    width: float | None

    def __repr__(self) -> str:
        panels = "; ".join(panel.title for panel in self.panels)
        parts = (self.title, f"panels: {panels}", self.words)
        return "\n".join(line for part in parts for line in textwrap.wrap(part, 100, break_long_words=False))

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        """The picture for a notebook, and how wide to show it; None where nothing can draw it."""
        if find_spec("matplotlib") is None:
            return None
        inches = STYLES[self.style].width if self.width is None else self.width
        content = drawn(self, ".png", style=self.style, width=self.width)
        return content, {"width": round(inches * _PIXELS_AN_INCH)}


def with_drawing(figure: Figure, *, style: str, width: float | None) -> DrawnFigure:
    """The figure, to be shown in this style and width.

    Raises:
        UsageError: there is no such style.
    """
    if style not in STYLES:
        meant = did_you_mean(style, STYLES)
        raise UnknownNameError(f"--style {style}{meant}: expected one of {', '.join(STYLES)}")
    values = {field.name: getattr(figure, field.name) for field in fields(figure)}
    return DrawnFigure(**values, style=style, width=width)
