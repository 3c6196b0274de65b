"""Which signs stand in panels: a caption explains those that are drawn, and no others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectra_cli.render.figures.figure import Look, Panel, Series, Symbol


def has_bands(panels: Sequence[Panel]) -> bool:
    """Whether the errors of a line are drawn."""
    return any(_has_errors(one) for one in _series(panels) if one.look not in (Look.POINTS, Look.BOTH))


def has_bars(panels: Sequence[Panel]) -> bool:
    """Whether the errors of points are drawn."""
    return any(_has_errors(one) for one in _series(panels) if one.look in (Look.POINTS, Look.BOTH))


def has_fits(panels: Sequence[Panel]) -> bool:
    """Whether a fitted line is drawn."""
    return any(one.look is Look.FIT for one in _series(panels))


def has_crosses(panels: Sequence[Panel]) -> bool:
    """Whether a withheld value is marked."""
    return any(mark.symbol is Symbol.WITHHELD for panel in panels for mark in panel.marks)


def has_hatched_cells(panels: Sequence[Panel]) -> bool:
    """Whether a cell has a reason in place of a number."""
    return any(bool((one.cells.reasons != "").any()) for one in panels if one.cells is not None)


def has_blank_cells(panels: Sequence[Panel]) -> bool:
    """Whether a cell has neither a number nor a reason."""
    return any(
        bool((~np.isfinite(one.cells.values) & (one.cells.reasons == "")).any())
        for one in panels
        if one.cells is not None
    )


def signs_in(panels: Sequence[Panel]) -> set[str]:
    """The signs that stand in cells."""
    held = [one.cells.signs for one in panels if one.cells is not None and one.cells.signs is not None]
    return {str(sign) for signs in held for sign in signs.ravel() if sign}


def _series(panels: Sequence[Panel]) -> list[Series]:
    return [one for panel in panels for one in panel.series]


def _has_errors(series: Series) -> bool:
    if series.low is None or series.high is None:
        return False
    return bool((np.isfinite(series.y) & np.isfinite(series.low) & (series.high > series.low)).any())
