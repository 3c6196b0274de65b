"""The phases of a run: effective rank and exponent over tokens, with the turning points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectra_cli.analysis.phases.over_run import Phases, phases_of
from spectra_cli.analysis.run import Run
from spectra_cli.core.measurements import ACTIVATIONS
from spectra_cli.render.figures.figure import (
    Axis,
    Figure,
    Ink,
    Look,
    Mark,
    Panel,
    Series,
    Symbol,
    Window,
    WindowKind,
)
from spectra_cli.render.figures.parts.captions import error_words, measured_words
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.outputs.phases import MEANING, verdict_words
from spectra_cli.statistics.registry import DEFINITIONS

_INKS = {"warmup": 4, "entropy-seeking": 5, "compression-seeking": 1, "discordant": 2, "flat": 3}


def figure(request: PlotRequest) -> Figure:
    """Effective rank and decay exponent of one layer, cut into segments; one run at a time.

    Raises:
        SpectraError: the archive does not hold a trajectory.
    """
    request.exponents()
    (run,) = request.opened()
    found = phases_of(
        run,
        layer=request.only("layers", "--layer"),
        alpha=request.only("statistics", "--statistic"),
    )
    return figure_of_phases(run, found)


def figure_of_phases(run: Run, found: Phases) -> Figure:
    """The segments of a run that were found already."""
    names = [segment.name for segment in found.segments]
    windows = _windows(found)
    marks = _turns(found)
    over = np.array([point.position for point in found.points])
    rank = [(point.rank, point.rank_stderr) for point in found.points]
    exponent = [(point.alpha, point.alpha_stderr) for point in found.points]
    x = Axis(label=found.unit)
    panels = (
        Panel(
            title=f"RankMe of eigenvalues, layer {found.layer}",
            x=x,
            y=Axis(label="RankMe", log=True),
            series=[_line(over, rank)],
            windows=windows,
            marks=marks,
        ),
        Panel(
            title=f"{DEFINITIONS[found.alpha].title}, layer {found.layer}",
            x=x,
            y=Axis(label="α"),
            series=[_line(over, exponent)],
            windows=windows,
        ),
    )
    return Figure(
        name="phases",
        title=f"{found.name}: {verdict_words(found)}",
        panels=panels,
        errors=error_words(panels, [run], ACTIVATIONS),
        caption=(
            measured_words([run], ACTIVATIONS),
            *(f"{name[:1].upper()}{name[1:]}: {MEANING[name]}." for name in dict.fromkeys(names)),
            *(["Diamonds: turning points, with the stretch in which each lies (95 %)."] if marks else []),
            *(f"{words[:1].upper()}{words[1:].rstrip('.')}." for words in found.warnings),
        ),
    )


def _line(
    over: np.ndarray[tuple[int], np.dtype[np.float64]], numbers: Sequence[tuple[float, float]]
) -> Series:
    y, errors = np.array(numbers).T
    known = bool(np.isfinite(errors).any())
    errors = np.nan_to_num(errors)
    return Series(
        x=over,
        y=y,
        ink=Ink(category=0),
        look=Look.BOTH,
        low=y - errors if known else None,
        high=y + errors if known else None,
    )


def _windows(found: Phases) -> list[Window]:
    return [
        Window(
            low=found.points[segment.first].position,
            high=found.points[segment.last].position,
            label=segment.name,
            kind=WindowKind.PHASE,
            ink=Ink(category=_INKS[segment.name]),
        )
        for segment in found.segments
    ]


def _turns(found: Phases) -> list[Mark]:
    """Where segments end, but for the last: the run ends there."""
    return [
        Mark(
            x=found.points[segment.last].position,
            y=found.points[segment.last].rank,
            low=found.points[segment.earliest].position,
            high=found.points[segment.latest].position,
            symbol=Symbol.TURN,
            ink=Ink(category=2),
        )
        for segment in found.segments[:-1]
    ]
