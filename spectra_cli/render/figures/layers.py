"""A statistic of every layer over training, as a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spectra_cli.analysis.run import Run
from spectra_cli.core.measurements import MEASUREMENTS
from spectra_cli.core.types import CheckpointRef, Site, StatisticValue
from spectra_cli.core.words.numbers import count
from spectra_cli.core.words.places import component_words, site_words
from spectra_cli.render.figures.figure import Axis, Cells, Figure, Panel, Scale
from spectra_cli.render.figures.parts.captions import (
    archive_words,
    measured_words,
    when_words,
    withheld_words,
)
from spectra_cli.render.figures.parts.drawn_signs import has_hatched_cells
from spectra_cli.render.figures.parts.over_training import Trajectories, statistics_of, trajectories
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.figures.trajectory import left_out_words
from spectra_cli.statistics.registry import DEFINITIONS

_MOST_PANELS = 6
_MOST_COLUMNS = 3
NOT_MEASURED = "not measured at this checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Map:
    """What one panel shows: a statistic of one component of one run.

    Attributes:
        sites: its rows; rows: of each site its values, one a checkpoint.
    """

    run: str
    statistic: str
    component: str
    refs: Sequence[CheckpointRef]
    sites: Sequence[Site]
    rows: Sequence[Sequence[StatisticValue | None]]

    def values(self) -> Iterator[StatisticValue]:
        """Every value, with or without a number."""
        return (value for row in self.rows for value in row if value is not None)


def figure(request: PlotRequest) -> Figure:
    """Layers from top to bottom, checkpoints from left to right; what is withheld is hatched.

    Runs stand side by side. A statistic has one scale of shades in all panels.

    Raises:
        SpectraError: the archives do not hold what is asked for.
    """
    runs = request.opened()
    measurement = request.measured(runs[0])
    names = statistics_of(request, measurement)
    found = [trajectories(run, names, measurement, request, most=None) for run in runs]
    every = list(_maps(runs, names, found))
    # all runs of a statistic, or none
    maps = every[: _MOST_PANELS // len(runs) * len(runs) or _MOST_PANELS]
    several_parts = len({one.component for one in every}) > 1
    scales = {name: _scale(name, [one for one in maps if one.statistic == name]) for name in names}
    panels = [
        _panel(one, scales[one.statistic], with_run=len(runs) > 1, with_part=several_parts) for one in maps
    ]
    when = when_words(one.refs for one in found)
    named = " and ".join(run.name for run in runs)
    shared = len(maps) > len({one.statistic for one in maps})
    return Figure(
        name="layers",
        title=f"{named}: {MEASUREMENTS[measurement].words} of every layer {when}",
        panels=tuple(panels),
        columns=min(_MOST_COLUMNS, max(2, len(runs)), len(panels)),
        caption=(
            measured_words(runs, measurement),
            *(["Shades of a statistic mean the same in all its panels."] if shared else []),
            *(["Hatched: no value."] if has_hatched_cells(panels) else []),
            *withheld_words(value for one in maps for value in one.values()),
            *left_out_words(len(every) - len(maps)),
            *archive_words(runs),
        ),
    )


def _maps(runs: Sequence[Run], names: Sequence[str], found: Sequence[Trajectories]) -> Iterator[_Map]:
    """Statistic by statistic and component by component, the runs next to each other."""
    parts = list(dict.fromkeys(site.component for one in found for site in one.sites))
    for name in names:
        for part in parts:
            for run, one in zip(runs, found, strict=True):
                sites = [site for site in one.sites if site.component == part]
                yield _Map(
                    run=run.name,
                    statistic=name,
                    component=part,
                    refs=one.refs,
                    sites=sites,
                    rows=[one.of(name, site) for site in sites],
                )


def _scale(name: str, maps: Sequence[_Map]) -> Scale:
    values = np.array([value.value for one in maps for value in one.values()], dtype=np.float64)
    return scale_of(values, DEFINITIONS[name].head.replace("\n", " "))


def _panel(one: _Map, scale: Scale, *, with_run: bool, with_part: bool) -> Panel:
    title = [one.run] * with_run + [DEFINITIONS[one.statistic].title]
    title += [component_words(one.component)] * with_part
    shape = len(one.sites), len(one.refs)
    return Panel(
        title=", ".join(title),
        x=Axis(label="step"),
        y=Axis(label="layer"),
        cells=Cells(
            rows=tuple(map(_row, one.sites)),
            columns=tuple(count(ref.step) if ref.step is not None else ref.key for ref in one.refs),
            values=np.array([[_number(value) for value in row] for row in one.rows]).reshape(shape),
            reasons=np.array([[_reason(value) for value in row] for row in one.rows], dtype=np.str_).reshape(
                shape
            ),
            scale=scale,
        ),
    )


def _row(site: Site) -> str:
    return site_words(site) if site.layer is None else str(site.layer)


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
