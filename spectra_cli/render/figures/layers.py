"""A statistic of every layer over training, as a heat map."""

from __future__ import annotations

import numpy as np

from spectra_cli.analysis.run import Run
from spectra_cli.core.measurements import MEASUREMENTS
from spectra_cli.core.types import Site, StatisticValue
from spectra_cli.core.words.numbers import count
from spectra_cli.core.words.places import component_words
from spectra_cli.render.figures.figure import Axis, Cells, Figure, Panel, Scale
from spectra_cli.render.figures.parts.captions import archive_words, measured_words, withheld_words
from spectra_cli.render.figures.parts.over_training import Trajectories, statistics_of, trajectories
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.statistics.registry import DEFINITIONS

_MOST_PANELS = 6
NOT_MEASURED = "not measured at this checkpoint"


def figure(request: PlotRequest) -> Figure:
    """Layers from top to bottom, checkpoints from left to right; what is withheld is hatched.

    Raises:
        SpectraError: the archives do not hold what is asked for.
    """
    runs = request.opened()
    measurement = request.measured(runs[0])
    names = statistics_of(request, measurement)
    panels, values = [], []
    for run in runs:
        found = trajectories(run, names, measurement, request, most=None)
        values += list(found.all_values())
        parts = list(dict.fromkeys(site.component for site in found.sites))
        panels += [
            _panel(run, name, part, found, several=len(runs) > 1, parts=len(parts))
            for name in names
            for part in parts
        ]
    left_out = len(panels) - _MOST_PANELS
    named = " and ".join(run.name for run in runs)
    return Figure(
        name="layers",
        title=f"{named}: {MEASUREMENTS[measurement].words} of every layer over training",
        panels=tuple(panels[:_MOST_PANELS]),
        columns=min(2, len(panels)),
        caption=(
            measured_words(runs[0], measurement),
            "Hatched: no value.",
            *withheld_words(values),
            *([f"{left_out} more panels are not shown: --statistic, --matrices."] if left_out > 0 else []),
            *archive_words(runs),
        ),
    )


def _panel(run: Run, name: str, component: str, found: Trajectories, *, several: bool, parts: int) -> Panel:
    sites = [site for site in found.sites if site.component == component]
    cells = [[_number(value) for value in found.of(name, site)] for site in sites]
    reasons = [[_reason(value) for value in found.of(name, site)] for site in sites]
    definition = DEFINITIONS[name]
    title = [run.name] * several + [definition.title] + [component_words(component)] * (parts > 1)
    values = np.array(cells, dtype=np.float64)
    return Panel(
        title=", ".join(title),
        x=Axis(label="step"),
        y=Axis(label="layer"),
        cells=Cells(
            rows=tuple(map(_row, sites)),
            columns=tuple(count(ref.step) if ref.step is not None else ref.key for ref in found.refs),
            values=values,
            reasons=np.array(reasons, dtype=np.str_),
            scale=scale_of(values, definition.head.replace("\n", " ")),
        ),
    )


def _row(site: Site) -> str:
    return site.address if site.layer is None else str(site.layer)


def _number(value: StatisticValue | None) -> float:
    return np.nan if value is None else value.value


def _reason(value: StatisticValue | None) -> str:
    if value is None:
        return NOT_MEASURED
    return "" if value.status.has_value else value.reason


def scale_of(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], label: str) -> Scale:
    """A scale over all values there are; by logarithms where they span more than a decade."""
    known = values[np.isfinite(values)]
    if not known.size:
        return Scale(label=label, low=0.0, high=1.0)
    low, high = float(known.min()), float(known.max())
    return Scale(label=label, low=low, high=high, log=low > 0 and high > 10 * low)
