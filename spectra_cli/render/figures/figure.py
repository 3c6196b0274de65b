"""A figure as a value: panels with axes, lines, windows, marks and cells, and the words around them.

Everything is decided here: what stands where, in which order, in which ink, and what is said of it. Whoever
draws it chooses fonts and shades alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.types import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of a panel.

    Attributes:
        label: with its unit, if it has one.
        log: whether its scale is logarithmic.
        low, high: its ends; None for where the data end.
    """

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a shade stands for, drawn as a bar beside the panels.

    Attributes:
        label: with its unit.
        low, high: the numbers at its ends.
        log: whether shades go by logarithms.
        diverging: whether the middle is zero, and the two sides differ in hue.
        whole: whether there are whole numbers alone, such as those of layers.
    """

    label: str
    low: float
    high: float
    log: bool = False
    diverging: bool = False
    whole: bool = False

    def share(self, value: float) -> float:
        """Where a number stands on it, from 0 to 1; beyond its ends, at the end.

        >>> Scale(label="", low=1.0, high=100.0, log=True).share(10.0)
        0.5
        """
        return float(self.shares(np.array(value)))

    def shares(self, values: FloatArray) -> FloatArray:
        """`share` of each of several numbers; NaN of NaN, where the scale has two ends."""
        if self.high <= self.low:
            return np.where(np.isnan(values), np.nan, 0.5)
        low, high = np.log([self.low, self.high]) if self.log else (self.low, self.high)
        shares: FloatArray = np.clip(
            ((np.log(values) if self.log else values) - low) / (high - low), 0.0, 1.0
        )
        return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Ink:
    """The colour of something drawn: one of a few that are told apart, or a shade of the figure's scale.

    Attributes:
        category: place in the palette, which gives colour, dash and symbol together.
        shade: from 0 to 1 on the scale; it goes before the category.
        muted: the colour of axes, for what only helps to read.
    """

    category: int = 0
    shade: float | None = None
    muted: bool = False


MUTED = Ink(muted=True)


class Look(StrEnum):
    """How a series is drawn; a fit is dashed between bars at its ends, unlike any spectrum."""

    LINE = "line"
    DASHED = "dashed"
    FIT = "fit"
    POINTS = "points"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Numbers over numbers; a NaN is a gap.

    Attributes:
        x, y: (n,) in the units of the axes.
        low, high: (n,) one standard error below and above, drawn as a band, or as bars on points; None
            without errors.
        label: in the legend; none where it is empty.
        names: (n,) written beside the points; empty for none.
    """

    x: FloatArray
    y: FloatArray
    ink: Ink
    look: Look = Look.LINE
    low: FloatArray | None = None
    high: FloatArray | None = None
    label: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = {np.shape(each) for each in (self.x, self.y, self.low, self.high) if each is not None}
        if len(sizes) != 1 or len(sizes.pop()) != 1:
            raise ValueError(f"a series {self.label!r} of arrays that are not alike")
        if self.names and len(self.names) != self.x.size:
            raise ValueError(f"a series {self.label!r} of {self.x.size} points with {len(self.names)} names")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """A histogram.

    Attributes:
        edges: (n + 1,) ascending; heights: (n,).
    """

    edges: FloatArray
    heights: FloatArray
    ink: Ink
    label: str = ""


class WindowKind(StrEnum):
    """What a stretch of the horizontal axis is marked for."""

    FIT = "fit"
    UNREADABLE = "unreadable"
    PHASE = "phase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of the horizontal axis: shaded, or hatched where nothing is to be read off.

    Attributes:
        low, high: its ends; label: what it is, with the reason where it is unreadable.
    """

    low: float
    high: float
    label: str
    kind: WindowKind
    ink: Ink = MUTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A line across the panel at one number of the horizontal axis, or of the vertical one."""

    at: float
    label: str
    vertical: bool = True
    ink: Ink = MUTED


class Symbol(StrEnum):
    """What a mark stands for."""

    WITHHELD = "withheld"
    TURN = "turn"
    POINT = "point"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A symbol at one place.

    Attributes:
        y: None at the lower end of the panel: there is no number to stand at.
        low, high: ends of a horizontal bar through it; None without one.
        text: beside it.
    """

    x: float
    symbol: Symbol
    ink: Ink
    y: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """A heat map.

    Attributes:
        rows, columns: what each row (top to bottom) and column is.
        values: (rows, columns) NaN where there is none; shaded by `scale`.
        reasons: (rows, columns) why there is no value; empty beside a value, and where nothing was measured.
            What has a reason is hatched.
        signs: (rows, columns) short texts inside the cells; empty for none at all.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray
    reasons: NDArray[np.str_]
    scale: Scale
    signs: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.rows), len(self.columns))
        arrays = (self.values, self.reasons, *([] if self.signs is None else [self.signs]))
        if any(each.shape != shape for each in arrays):
            raise ValueError(f"cells of shapes {[each.shape for each in arrays]}, expected {shape}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """One pair of axes and what is drawn in it, in this order: windows, cells, bars, series, rules, marks.

    Attributes:
        wide: has a row of its own, as high as the rows of its cells need.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series] = ()
    bars: Sequence[Bars] = ()
    windows: Sequence[Window] = ()
    rules: Sequence[Rule] = ()
    marks: Sequence[Mark] = ()
    cells: Cells | None = None
    wide: bool = False

    @property
    def has_numbers(self) -> bool:
        """Whether a number stands in it, and not reasons alone."""
        heights = any(np.isfinite(one.y).any() for one in self.series)
        cells = self.cells is not None and bool(np.isfinite(self.cells.values).any())
        return bool(heights or self.bars or cells or any(mark.y is not None for mark in self.marks))

    @property
    def has_shades(self) -> bool:
        """Whether the colour of a line is one of the figure's scale."""
        return any(one.ink.shade is not None for one in self.series)

    @property
    def only_place(self) -> float | None:
        """The one place along the horizontal axis at which anything stands; None where there are several."""
        marks = np.array([mark.x for mark in self.marks])
        every = [*(one.x for one in self.series), marks, *(one.edges for one in self.bars)]
        places = np.unique(np.concatenate(every))
        places = places[np.isfinite(places)]
        return float(places[0]) if places.size == 1 else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing measured stands in it."""
        return not (self.has_numbers or self.cells is not None or self.marks)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figure:
    """A figure, complete.

    Attributes:
        name: in the registry.
        title: one sentence that says what it shows.
        panels: in rows of `columns`.
        caption: sentences: the probe, what was withheld and why.
        errors: what bands and bars are; empty where none is drawn. A renderer that draws none leaves it out.
        scale: of the shades of all series; None where there are none.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    columns: int = 1
    caption: tuple[str, ...] = ()
    errors: str = ""
    scale: Scale | None = None

    @property
    def words(self) -> str:
        """The caption as one paragraph, with what errors are."""
        return " ".join(filter(None, (*self.caption, self.errors)))
