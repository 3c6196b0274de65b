"""What colours and dashes stand for: the bar of a scale, and the legend of a panel in the user's own axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from spectra_cli.render.drawing.panels import shades_of
from spectra_cli.render.drawing.ticks import plain, power_of_ten
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
    bar.set_label(for_terminal(scale.label))
    bar.outline.set_visible(False)
    words = power_of_ten if scale.log and scale.high / scale.low >= 30 else plain
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda number, _: words(number)))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    if scale.whole:
        bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def draw_key(panel: Panel, scale: Scale | None, ax: Axes, style: Style) -> None:
    """Beside a panel in the caller's axes: the bar of its shades, and the legend of what has a name.

    Args:
        scale: of the figure that the panel is of.
    """
    of_cells = None if panel.cells is None else panel.cells.scale
    of_lines = scale if any(one.ink.shade is not None for one in panel.series) else None
    if shown := of_cells or of_lines:
        colour_bar(ax.figure, shown, style, [ax])
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
