"""Spectra against rank: how they change over training, or between runs at a matched point."""

from __future__ import annotations

from spectra_cli.core.measurements import MEASUREMENTS
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.render.figures.figure import Figure
from spectra_cli.render.figures.parts.captions import archive_words, error_words, measured_words
from spectra_cli.render.figures.parts.lines import lines_of, places_of
from spectra_cli.render.figures.parts.spectra_panel import captions_of, panel_of
from spectra_cli.render.figures.request import PlotRequest

_MOST_PANELS = 6
_DEFAULT_PANELS = 3


def figure(request: PlotRequest) -> Figure:
    """Eigenvalues against rank, one line a checkpoint, or one a run at the last matched point.

    Raises:
        SpectraError: the archives do not hold what is asked for.
    """
    runs = request.opened()
    measurement = request.measured(runs[0])
    lines = lines_of(request, runs, [measurement])
    words = MEASUREMENTS[measurement].words
    title = f"{runs[0].name}: spectra of {words} {lines.when}"
    if len(runs) > 1:
        title = f"Spectra of {words} of {' and '.join(run.name for run in runs)} {lines.when}"
    wanted = places_of(request, lines, measurement, most=_DEFAULT_PANELS)
    panels = [panel_of(place, lines, request.exponents()) for place in wanted[:_MOST_PANELS]]
    left_out = len(wanted) - len(panels)
    return Figure(
        name="spectrum",
        title=title,
        panels=tuple(one.panel for one in panels),
        columns=min(3, len(panels)),
        scale=lines.scale,
        errors=error_words([one.panel for one in panels], runs, measurement),
        caption=(
            *lines.told,
            measured_words(runs, measurement),
            *captions_of(panels, lines),
            *(
                [f"{counted(left_out, 'more place')} {agreed(left_out)} not shown: name a layer or matrix."]
                if left_out
                else []
            ),
            *archive_words(runs),
        ),
    )
