"""Statistics over training: layer by layer of one run, or several runs at the same places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spectra_cli.analysis.run import Axis as RunAxis
from spectra_cli.analysis.run import Run
from spectra_cli.core.measurements import MEASUREMENTS
from spectra_cli.core.types import FloatArray, Site, StatisticValue
from spectra_cli.core.words.places import component_words, site_words
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.render.figures.figure import (
    Axis,
    Figure,
    Ink,
    Look,
    Mark,
    Panel,
    Scale,
    Series,
    Symbol,
)
from spectra_cli.render.figures.parts.captions import (
    archive_words,
    cross_words,
    error_words,
    measured_words,
    when_words,
    withheld_words,
)
from spectra_cli.render.figures.parts.over_training import Trajectories, statistics_of, trajectories
from spectra_cli.render.figures.request import PlotRequest, axis_of
from spectra_cli.statistics.registry import DEFINITIONS

_MOST_PANELS = 9
_MOST_POINTS = 40  # of a line; beyond, errors are a band and not bars
_PLACES_OF_SEVERAL = 1  # of each statistic, where lines are runs and nobody asks for more


def figure(request: PlotRequest) -> Figure:
    """A panel a statistic, and a line a layer; of several runs a line a run, and a panel a place.

    Raises:
        SpectraError: the archives do not hold what is asked for.
    """
    runs = request.opened()
    measurement = request.measured(runs[0])
    names = statistics_of(request, measurement)
    axis = axis_of(runs)
    several = len(runs) > 1
    most = _PLACES_OF_SEVERAL if several else None
    found = [trajectories(run, names, measurement, request, most=most) for run in runs]
    over = [positions(run, one.places, axis) for run, one in zip(runs, found, strict=True)]
    x = axis_over(over, axis)
    scale = None if several else _scale(found[0].sites)
    panels: list[TrajectoryPanel] = list(
        _of_runs(runs, found, over, names, x) if several else _of_layers(found[0], over[0], names, x, scale)
    )
    others = {site.address for one in found for site in one.others}
    left_out = len(panels[_MOST_PANELS:]) + len(names) * len(others)
    panels = panels[:_MOST_PANELS]
    drawn = [one.panel for one in panels]
    named = " and ".join(run.name for run in runs)
    return Figure(
        name="trajectory",
        title=f"{named}: {MEASUREMENTS[measurement].words} {when_words(one.refs for one in found)}",
        panels=tuple(drawn),
        columns=min(3, len(panels)),
        scale=scale,
        errors=error_words(drawn, runs, measurement),
        caption=(
            measured_words(runs, measurement),
            *cross_words(drawn),
            *withheld_words(value for one in panels for value in one.values),
            *left_out_words(left_out),
            *off_axis_words(over, x),
            *archive_words(runs),
        ),
    )


def left_out_words(number: int) -> list[str]:
    """How many panels there is no room for, and how to see them."""
    if not number:
        return []
    many = "1 more panel is" if number == 1 else f"{number} more panels are"
    return [f"{many} not shown: name a statistic, layer or matrix to see it."]


def positions(run: Run, places: Sequence[int], axis: RunAxis) -> FloatArray:
    """(n,) where checkpoints, given by their places in the series, stand on an axis."""
    where = dict(zip(run.places, run.on(axis), strict=True))
    return np.array([where[place] for place in places], dtype=np.float64)


def axis_over(over: Sequence[FloatArray], axis: RunAxis) -> Axis:
    """The horizontal axis of a trajectory: logarithmic where its positions span decades."""
    positive = np.concatenate(over)
    positive = positive[positive > 0]
    log = positive.size > 2 and bool(positive.max() > 50 * positive.min())
    return Axis(label=axis.unit if axis is RunAxis.TOKENS else "step", log=log)


def off_axis_words(over: Sequence[FloatArray], x: Axis) -> list[str]:
    """How many checkpoints have no place on the axis."""
    num = int(sum((one <= 0).sum() for one in over)) if x.log else 0
    unknown = int(sum(np.isnan(one).sum() for one in over))
    return [
        *(
            [f"{counted(num, 'checkpoint')} at 0 {agreed(num, 'stands', 'stand')} off a logarithmic axis."]
            if num
            else []
        ),
        *(
            [f"{counted(unknown, 'checkpoint')} without a {x.label} {agreed(unknown)} not shown."]
            if unknown
            else []
        ),
    ]


def _scale(sites: Sequence[Site]) -> Scale | None:
    layers = sorted({site.layer for site in sites if site.layer is not None})
    if len(layers) < 2:
        return None
    return Scale(label="layer", low=float(layers[0]), high=float(layers[-1]), whole=True)


def _of_layers(
    found: Trajectories, over: FloatArray, names: Sequence[str], x: Axis, scale: Scale | None
) -> Iterator[TrajectoryPanel]:
    parts = list(dict.fromkeys(site.component for site in found.sites))
    for name in names:
        for part in parts:
            sites = [site for site in found.sites if site.component == part]
            inks = [
                Ink() if scale is None or site.layer is None else Ink(shade=scale.share(float(site.layer)))
                for site in sites
            ]
            lines = [
                TrajectoryLine(values=found.of(name, site), over=over, ink=ink)
                for site, ink in zip(sites, inks, strict=True)
            ]
            words = f", {component_words(part)}" if len(parts) > 1 else ""
            yield TrajectoryPanel(panel=panel(name, DEFINITIONS[name].title + words, lines, x), lines=lines)


def _of_runs(
    runs: Sequence[Run],
    found: Sequence[Trajectories],
    over: Sequence[FloatArray],
    names: Sequence[str],
    x: Axis,
) -> Iterator[TrajectoryPanel]:
    sites = list(dict.fromkeys(site for one in found for site in one.sites))
    for name in names:
        for site in sites:
            lines = [
                TrajectoryLine(
                    values=one.of(name, site), over=positions, ink=Ink(category=place), label=run.name
                )
                for place, (run, one, positions) in enumerate(zip(runs, found, over, strict=True))
            ]
            title = f"{DEFINITIONS[name].title}, {site_words(site)}"
            yield TrajectoryPanel(panel=panel(name, title, lines, x), lines=lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryLine:
    """One line of a panel.

    Attributes:
        values: (n,) None where nothing was measured; over: (n,) where each stands.
    """

    values: Sequence[StatisticValue | None]
    over: FloatArray
    ink: Ink
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryPanel:
    """A panel and the lines that it is drawn from."""

    panel: Panel
    lines: Sequence[TrajectoryLine]

    @property
    def values(self) -> Iterator[StatisticValue]:
        """Every value of its lines, with or without a number."""
        return (value for line in self.lines for value in line.values if value is not None)


def panel(name: str, title: str, lines: Sequence[TrajectoryLine], x: Axis) -> Panel:
    """A statistic over training; what is withheld is marked at the lower end."""
    series, marks = [], []
    for line in lines:
        y = np.array([np.nan if one is None else one.value for one in line.values])
        errors = np.array([np.nan if one is None else one.stderr for one in line.values])
        known = bool(np.isfinite(errors).any())
        errors = np.nan_to_num(errors)
        series.append(
            Series(
                x=np.where(line.over > 0, line.over, np.nan) if x.log else line.over,
                y=y,
                ink=line.ink,
                look=Look.BOTH if y.size <= _MOST_POINTS else Look.LINE,
                low=y - errors if known else None,
                high=y + errors if known else None,
                label=line.label,
            )
        )
        marks += [
            Mark(x=float(position), symbol=Symbol.WITHHELD, ink=line.ink)
            for one, position in zip(line.values, line.over, strict=True)
            if one is not None and not one.status.has_value and (position > 0 or not x.log)
        ]
    every = np.concatenate([one.y for one in series])
    every = every[np.isfinite(every)]
    log = bool(every.size and every.min() > 0 and every.max() > 30 * every.min())
    head = DEFINITIONS[name].head.replace("\n", " ")
    return Panel(title=title, x=x, y=Axis(label=head, log=log), series=series, marks=marks)
