"""Words inside a panel, moved to where nothing is drawn once the panel has its place on the page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from spectra_cli.render.drawing.wrapping import wrapped

# what artists are labelled as; the first underscore keeps them out of legends
OF_A_WINDOW = "_of a window"
OF_A_HATCHED_WINDOW = "_of a hatched window"
OF_A_POINT = "_of a point"
# heights in a panel, and the side of the words that stands there
_LOWEST, _HIGHEST = (0.02, "bottom"), (0.985, "top")
_BETWEEN = tuple((height, "center") for height in (0.17, 0.83, 0.29, 0.71, 0.42, 0.58))
_SIDES = (("left", "bottom"), ("right", "bottom"), ("left", "top"), ("right", "top"))
# so many lines are as bad as other words in the same place, or as a name outside of its panel by its height
_OTHER_WORDS = 1000
_CLEAR = 1.15  # of the size of a name: what is kept free around it
_WIDEST = 0.9  # of a panel: longer names beside points are broken


def settle_labels(page: Page) -> None:
    """Move the words of windows and beside points to the first free place of each, inside their panel."""
    canvas: Any = FigureCanvasAgg(page)
    renderer = canvas.get_renderer()
    for ax in page.axes:
        taken: list[Bbox] = []
        for text in ax.texts:
            if not text.get_text().strip():
                continue
            if text.get_label() in (OF_A_WINDOW, OF_A_HATCHED_WINDOW):
                taken.append(_settle_window(text, ax, taken, renderer))
            elif text.get_label() == OF_A_POINT and isinstance(text, Annotation):
                taken.append(_settle_name(text, page, ax, taken, renderer))


def thin_names(page: Page, ax: Axes) -> None:
    """Leave of the names beside and below cells the first, the last, and as many as stand clear between.

    Only of layers, steps or checkpoints, which the axis is then labelled by: one follows from its neighbours.
    Without a label each name is of its own, and all of them stay.
    """
    canvas: Any = FigureCanvasAgg(page)
    renderer = canvas.get_renderer()
    for axis in (ax.xaxis, ax.yaxis):
        if not axis.get_label_text():
            continue
        names, places = [one.get_text() for one in axis.get_ticklabels()], axis.get_ticklocs()
        boxes = [one.get_window_extent(renderer).expanded(_CLEAR, _CLEAR) for one in axis.get_ticklabels()]
        for number in range(len(names), 1, -1):
            left = np.unique(np.linspace(0, len(names) - 1, number).round().astype(int))
            if not any(boxes[one].overlaps(boxes[other]) for one, other in pairwise(left)):
                break
        else:
            continue
        if left.size < len(names):
            axis.set_ticks([places[one] for one in left], [names[one] for one in left])


def _settle_window(text: Text, ax: Axes, taken: Sequence[Bbox], renderer: Any) -> Bbox:
    """Inside the panel, at the first height at which neither lines nor other words stand."""
    panel = ax.get_window_extent(renderer)
    left = text.get_window_extent(renderer)
    to_the_left = max(0.0, min(left.x1 - panel.x1, left.x0 - panel.x0))
    if to_the_left:
        pixels = ax.transData.transform((text.get_position()[0], ax.get_ylim()[0]))
        text.set_x(ax.transData.inverted().transform((pixels[0] - to_the_left, pixels[1]))[0])
    ends = (_LOWEST, _HIGHEST) if text.get_verticalalignment() == "bottom" else (_HIGHEST, _LOWEST)

    def put(height: tuple[float, str]) -> Bbox:
        text.set(y=height[0], va=height[1])
        return text.get_window_extent(renderer)

    best = min((*ends, *_BETWEEN), key=lambda height: _in_the_way(put(height), ax, taken))
    box = put(best)
    if text.get_label() == OF_A_WINDOW and not _in_the_way(box, ax, taken):
        text.set_bbox(None)
    return box


def _settle_name(name: Annotation, page: Page, ax: Axes, taken: Sequence[Bbox], renderer: Any) -> Bbox:
    """On the first side of its point on which it stays in the panel and clear of other names."""
    panel = ax.get_window_extent(renderer)
    room = _WIDEST * panel.width
    if name.get_window_extent(renderer).width > room:
        lines = wrapped(page, name.get_text(), room / page.dpi, size=float(name.get_fontsize()))
        name.set_text("\n".join(lines))
    across, up = (abs(distance) for distance in name.xyann)

    def put(side: tuple[str, str]) -> Bbox:
        name.xyann = (across if side[0] == "left" else -across, up if side[1] == "bottom" else -up)
        name.set(ha=side[0], va=side[1])
        return name.get_window_extent(renderer)

    def cost(side: tuple[str, str]) -> float:
        box = put(side)
        beyond = box.x1 - panel.x1, panel.x0 - box.x0, box.y1 - panel.y1, panel.y0 - box.y0
        outside = sum(max(0.0, float(one)) for one in beyond) / float(box.height)
        return _OTHER_WORDS * outside + _in_the_way(box, ax, taken)

    return put(min(_SIDES, key=cost))


def _in_the_way(box: Bbox, ax: Axes, taken: Sequence[Bbox]) -> int:
    """How much a place is taken: other words count for more than all lines."""
    lines = sum(_runs_through(line, box) for line in ax.lines)
    return lines + _OTHER_WORDS * sum(box.overlaps(other) for other in taken)


def _runs_through(line: Line2D, box: Bbox) -> bool:
    path = line.get_transform().transform_path(line.get_path()).cleaned(remove_nans=True)
    if line.get_linestyle() == "None":  # points alone
        return any(box.contains(x, y) for x, y in np.asarray(path.vertices))
    return bool(path.intersects_bbox(box, filled=False))
