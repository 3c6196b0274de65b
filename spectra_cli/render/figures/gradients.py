"""Activations and gradients of one layer side by side, and how noisy the gradients are."""

from __future__ import annotations

from collections.abc import Sequence

from spectra_cli.analysis.run import Run
from spectra_cli.core.errors import UsageError
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENTS
from spectra_cli.core.types import Site, Spectrum, StatisticValue
from spectra_cli.core.words.places import site_words
from spectra_cli.render.figures.figure import Figure, Ink
from spectra_cli.render.figures.parts.captions import (
    archive_words,
    cross_words,
    error_words,
    measured_words,
    withheld_words,
)
from spectra_cli.render.figures.parts.lines import Lines, lines_of, places_of
from spectra_cli.render.figures.parts.spectra_panel import captions_of, panel_of
from spectra_cli.render.figures.request import PlotRequest, axis_of
from spectra_cli.render.figures.trajectory import TrajectoryLine, axis_over, off_axis_words, panel, positions
from spectra_cli.statistics.noise_scale import GRADIENT_NOISE_SCALE, noise_scales

_USUAL_MATRIX = "attn.o"
_NOISE_SCALE = "The noise scale is in sequences: batches far smaller are mostly noise."


def figure(request: PlotRequest) -> Figure:
    """Spectra of activations and of gradients of one layer, and the noise scale over training.

    Raises:
        SpectraError: the archives do not hold what is asked for.
    """
    runs = request.opened()
    for run in runs:
        if GRADIENTS not in run.series.measurements:
            raise UsageError(
                f"{run.series.path} holds no gradients, which this figure is of; scan with "
                "--measure gradients"
            )
    lines = lines_of(request, runs, [ACTIVATIONS, GRADIENTS])
    place = _matrix(places_of(request, lines, GRADIENTS, most=None))
    wanted = [*_activations(lines, place.site.layer), place]
    panels = [panel_of(one, lines, request.exponents()) for one in wanted]
    noise = [_noise(run, request, place.site) for run in runs]
    axis = axis_of(runs)
    over = [positions(run, request.places(run), axis) for run in runs]
    x = axis_over(over, axis)
    told = [("", "whole model"), (place.site.address, site_words(place.site))]
    trajectories = [
        TrajectoryLine(
            values=one[key],
            over=positions,
            ink=Ink(category=number if len(runs) > 1 else part),
            label=run.name if len(runs) > 1 else words,
        )
        for number, (run, one, positions) in enumerate(zip(runs, noise, over, strict=True))
        for part, (key, words) in enumerate(told)
        if len(runs) == 1 or part == 0
    ]
    title = f"{GRADIENT_NOISE_SCALE.title}{', whole model' if len(runs) > 1 else ''}"
    noise_panel = panel(GRADIENT_NOISE_SCALE.name, title, trajectories, x)
    drawn = (*(one.panel for one in panels), noise_panel)
    where = "" if place.site.layer is None else f" of layer {place.site.layer}"
    return Figure(
        name="gradients",
        title=f"{' and '.join(run.name for run in runs)}: activations and gradients{where} {lines.when}, "
        "and the noise of gradients",
        panels=drawn,
        columns=3,
        scale=lines.scale,
        errors=error_words(drawn, runs, GRADIENTS),
        caption=(
            *lines.told,
            measured_words(runs, GRADIENTS),
            *captions_of(panels, lines),
            *([_NOISE_SCALE] if noise_panel.has_numbers else []),
            *cross_words(drawn),
            *withheld_words(value for one in trajectories for value in one.values if value is not None),
            *off_axis_words(over, x),
            *archive_words(runs),
        ),
    )


def _matrix(found: Sequence[Spectrum]) -> Spectrum:
    """Of the last layer, the usual matrix, or the first there is."""
    inside = [one for one in found if one.site.layer is not None] or found
    last = [one for one in inside if one.site.layer == inside[-1].site.layer]
    return next((one for one in last if one.site.component == _USUAL_MATRIX), last[0])


def _activations(lines: Lines, layer: int | None) -> list[Spectrum]:
    for shown in reversed(lines.shown):
        if here := [one for one in shown.checkpoint.select(ACTIVATIONS) if one.site.layer == layer]:
            return here[:1]
    return []


def _noise(run: Run, request: PlotRequest, site: Site) -> dict[str, Sequence[StatisticValue | None]]:
    """The noise scale of the whole model (under the empty name) and of one matrix, at every checkpoint."""
    found: dict[str, list[StatisticValue | None]] = {"": [], site.address: []}
    # spectra have no part in it
    for checkpoint in run.series.checkpoints(request.places(run), vectors=False, measurements=[]):
        values = noise_scales(checkpoint.scalars, step=checkpoint.ref.step)
        by_place = {"" if one.site is None else one.site.address: one for one in values}
        for place, series in found.items():
            series.append(by_place.get(place))
    return dict(found)
