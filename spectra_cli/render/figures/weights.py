"""Singular values of weights: the bulk that a random matrix would have, and what lies outside of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spectra_cli.analysis.run import Run
from spectra_cli.core.errors import UsageError
from spectra_cli.core.measurements import WEIGHTS
from spectra_cli.core.types import FloatArray, Site, Spectrum, StatisticValue
from spectra_cli.core.words.places import place_words, site_words
from spectra_cli.render.figures.figure import Axis, Bars, Figure, Ink, Look, Mark, Panel, Rule, Series, Symbol
from spectra_cli.render.figures.parts.captions import (
    archive_words,
    cross_words,
    measured_words,
    withheld_words,
)
from spectra_cli.render.figures.parts.lines import Lines, Shown, lines_of, places_of
from spectra_cli.render.figures.parts.over_training import trajectories
from spectra_cli.render.figures.request import PlotRequest, axis_of
from spectra_cli.render.figures.trajectory import TrajectoryLine, axis_over, off_axis_words, panel, positions
from spectra_cli.statistics.bulk_edge import marchenko_pastur_cdf
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import evaluate

_PANELS = 2
_POINTS = 200
_LINE = "Line: the Marchenko-Pastur bulk through the median singular value, up to its edge"
_MARKS = "marks: outliers above the cut, the 99 % quantile of a finite bulk's largest value"
# unlike any place: there are four at most
_OF_THE_BULK = Ink(category=5)
_OUTLIERS, _STABLE_RANK = STATISTICS["num_outliers"], STATISTICS["stable_rank"]


def figure(request: PlotRequest) -> Figure:
    """Histograms of singular values with the fitted bulk, and stable rank over training.

    Raises:
        SpectraError: the archives do not hold what is asked for.
    """
    runs = request.opened()
    for run in runs:
        if WEIGHTS not in run.series.measurements:
            raise UsageError(
                f"{run.series.path} holds no weights, which this figure is of; scan with --measure weights"
            )
    lines = lines_of(request, runs, [WEIGHTS])
    last = replace(lines, shown=lines.shown if len(runs) > 1 else lines.shown[-1:], scale=None)
    wanted = places_of(request, last, WEIGHTS, most=_PANELS)[:4]
    judged: list[StatisticValue] = []
    panels = []
    for number, place in enumerate(wanted):
        here = [(one, there) for one in last.shown if (there := one.at(place)) is not None]
        found = [evaluate(_OUTLIERS, there, step=one.checkpoint.ref.step) for one, there in here]
        judged += found
        panels.append(_histogram(place, here, found, only=None if len(runs) > 1 else Ink(category=number)))
    ranks, ranked, over, x = _stable_ranks(request, runs, [place.site for place in wanted])
    names = " and ".join(run.name for run in runs) + (f" {lines.when}" if len(runs) > 1 else "")
    drawn = (*panels, *ranks)
    return Figure(
        name="weights",
        title=f"{names}: singular values of weights against a random bulk",
        panels=drawn,
        columns=min(3, len(panels) + len(ranks)),
        caption=(
            *(lines.told if len(runs) > 1 else ()),
            *_legend(panels, last),
            *_bulk_words(judged, last.shown),
            measured_words(runs, WEIGHTS),
            *cross_words(drawn),
            *withheld_words((*judged, *(one for line in ranked for one in line.values if one is not None))),
            *off_axis_words(over, x),
            *archive_words(runs),
        ),
    )


def _legend(histograms: Sequence[Panel], lines: Lines) -> list[str]:
    """Of what the histograms are, and what stands in them."""
    several = len(lines.shown) > 1
    whose = "the checkpoints named" if several else lines.shown[0].checkpoint.ref.key
    signs = [
        *([_LINE] if any(one.series for one in histograms) else []),
        *([_MARKS] if any(one.marks for one in histograms) else []),
    ]
    told = "; ".join(signs)
    return [f"Histograms of {whose}.", *([f"{told[:1].upper()}{told[1:]}."] if told else [])]


def _histogram(
    place: Spectrum,
    here: Sequence[tuple[Shown, Spectrum]],
    found: Sequence[StatisticValue],
    only: Ink | None,
) -> Panel:
    """The values of one place: of several checkpoints each in its ink, or of one in the ink `only`."""
    every = np.concatenate([there.values for _, there in here])
    edges = np.histogram_bin_edges(every, bins=min(60, max(12, every.size // 6)))
    bars, series, rules, marks = [], [], [], []
    for (shown, there), value in zip(here, found, strict=True):
        ink = only or shown.ink
        heights = np.histogram(there.values, bins=edges)[0].astype(np.float64)
        bars.append(Bars(edges=edges, heights=heights, ink=ink, label="" if only else shown.label))
        if "cut" not in value.details:
            continue
        series.append(_bulk(there, value, edges, _OF_THE_BULK if only else ink))
        if only:
            rules += [
                Rule(at=value.details["edge"], label="edge"),
                Rule(at=value.details["cut"], label="cut"),
            ]
        marks += [
            Mark(x=float(one), symbol=Symbol.POINT, ink=_OF_THE_BULK if only else ink)
            for one in there.values[there.values > value.details["cut"]]
        ]
    return Panel(
        title=place_words(place.measurement, place.site),
        x=Axis(label="singular value"),
        y=Axis(label="count", low=0.0),
        bars=bars,
        series=series,
        rules=rules,
        marks=marks,
    )


def _bulk(spectrum: Spectrum, value: StatisticValue, edges: FloatArray, ink: Ink) -> Series:
    """How many values of the bulk each bin would hold, drawn through the bins' middles.

    The bulk is of the values that are no outliers: as many as there are, spread by the law.
    """
    p, n = sorted((spectrum.num_samples, spectrum.ambient_dim))
    fine = np.linspace(0.0, 1.05 * value.details["edge"], _POINTS + 1)
    shares = np.diff(marchenko_pastur_cdf((fine / value.details["scale"]) ** 2 / n, p / n))
    size = spectrum.values.size - int((spectrum.values > value.details["cut"]).sum())
    a_bin = (edges[1] - edges[0]) / (fine[1] - fine[0])
    return Series(x=(fine[:-1] + fine[1:]) / 2, y=size * shares * a_bin, ink=ink, look=Look.LINE)


def _bulk_words(judged: Sequence[StatisticValue], shown: Sequence[Shown]) -> list[str]:
    told = []
    for number, value in enumerate(judged):
        if "distance" not in value.details or value.site is None:
            continue
        whose = f"{shown[number % len(shown)].label} " if len(shown) > 1 else ""
        told.append(
            f"{whose}{site_words(value.site)} {value.details['distance']:.3f}, {value.value:.0f} "
            f"outlier{'' if value.value == 1 else 's'}{'' if value.status.value == 'ok' else '*'}"
        )
    return [f"Distance from the bulk's law (Kolmogorov-Smirnov): {'; '.join(told)}."] if told else []


def _stable_ranks(
    request: PlotRequest, runs: Sequence[Run], places: Sequence[Site]
) -> tuple[list[Panel], list[TrajectoryLine], list[FloatArray], Axis]:
    addresses = [place.address for place in places]
    found = [trajectories(run, [_STABLE_RANK.name], WEIGHTS, request, most=None) for run in runs]
    axis = axis_of(runs)
    over = [positions(run, one.places, axis) for run, one in zip(runs, found, strict=True)]
    x = axis_over(over, axis)
    lines = [
        (
            site,
            TrajectoryLine(
                values=one.of(_STABLE_RANK.name, site),
                over=where,
                ink=Ink(category=number if len(runs) > 1 else addresses.index(site.address)),
                label=run.name if len(runs) > 1 else site_words(site),
            ),
        )
        for number, (run, one, where) in enumerate(zip(runs, found, over, strict=True))
        for site in one.sites
        if site.address in addresses
    ]
    drawn = [line for site, line in lines if len(runs) == 1 or site.address == addresses[0]]
    title = _STABLE_RANK.title if len(runs) == 1 else f"{_STABLE_RANK.title}, {site_words(places[0])}"
    if not any(math.isfinite(value.value) for line in drawn for value in line.values if value is not None):
        return [], drawn, over, x
    return [panel(_STABLE_RANK.name, title, drawn, x)], drawn, over, x
