"""Measured figures beside what was promised, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from benchmarks.timing import Spread

VALUES_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured figure beside what it must and should be.

    Attributes:
        must, aim: bounds; None where nothing was promised.
        at_most: whether they are upper bounds.
        values_error: largest difference of the contenders' spectra, in units of the largest value.
        note: what the figure does not say.
    """

    name: str
    measured: Spread
    must: float | None = None
    aim: float | None = None
    at_most: bool = False
    values_error: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`aim`, `must`, `missed`, or `values differ`."""
        if math.isnan(self.measured.median):
            return "not measured"
        if self.values_error is not None and not self.values_error <= VALUES_TOLERANCE:
            return "values differ"
        for name, bound in (("aim", self.aim), ("must", self.must)):
            if bound is not None and self._meets(bound):
                return name
        return "" if self.must is None else "missed"

    @classmethod
    def missing(cls, name: str, reason: object) -> Figure:
        """A contender that cannot run, and why."""
        return cls(name=name, measured=Spread.of([math.nan]), note=f"cannot run: {reason}")

    def _meets(self, bound: float) -> bool:
        return self.measured.median <= bound if self.at_most else self.measured.median >= bound


def table_of(figures: Sequence[Figure]) -> Table:
    """One line a figure; notes below the figures that they belong to."""
    table = Table(title="median (smallest - largest)", title_justify="left")
    table.add_column("figure")
    for heading in ("measured", "must", "aim", "met", "values"):
        table.add_column(heading, justify="right", no_wrap=True)
    for figure in figures:
        sign = "<= " if figure.at_most else ">= "
        bounds = ["" if b is None else f"{sign}{b:g}" for b in (figure.must, figure.aim)]
        m = figure.measured
        spread = "-" if math.isnan(m.median) else f"{m.median:.3g} ({m.smallest:.3g} - {m.largest:.3g})"
        error = "" if figure.values_error is None else f"{figure.values_error:.0e}"
        name = f"{figure.name}\n  [dim]{escape(figure.note)}[/dim]" if figure.note else figure.name
        table.add_row(name, spread, *bounds, figure.verdict, error)
    return table
