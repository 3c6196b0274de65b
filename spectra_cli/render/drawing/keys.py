"""What colours and dashes stand for: the bar of a scale, and the legend of a panel in the user's own axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize

from spectra_cli.render.drawing.panels import shades_of
from spectra_cli.render.drawing.tick_places import place_ticks
from spectra_cli.render.text.neutral import for_terminal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from spectra_cli.render.drawing.style import Style
    from spectra_cli.render.figures.figure import Panel, Scale


def colour_bar(page: Any, scale: Scale, style: Style, axes: list[Any]) -> None:
    """The bar that says what shades stand for, beside axes of a page."""
    norm = (LogNorm if scale.log else Normalize)(scale.low, scale.high)
    shades = ScalarMappable(norm=norm, cmap=shades_of(scale, style))
    bar = page.colorbar(shades, ax=axes, aspect=30, pad=0.015)
    bar.set_label(for_terminal(scale.label), parse_math=False)
    bar.outline.set_visible(False)
    only = scale.low if scale.low == scale.high else None
    place_ticks(bar.ax.yaxis, (scale.low, scale.high), log=scale.log, whole=scale.whole, only=only)


def draw_key(panel: Panel, scale: Scale | None, ax: Axes, style: Style) -> None:
    """Beside a panel in the caller's axes: the bar of its shades, and the legend of what has a name.

    Args:
        scale: of the figure that the panel is of.
    """
    of_cells = panel.cells.scale if panel.cells is not None and panel.has_numbers else None
    of_lines = scale if panel.has_shades else None
    if shown := of_cells or of_lines:
        colour_bar(ax.figure, shown, style, [ax])
    if ax.get_legend_handles_labels()[1]:
        for words in ax.legend(frameon=False).get_texts():
            words.set_parse_math(False)
