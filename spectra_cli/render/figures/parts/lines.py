"""Which checkpoints are the lines of a panel: those of a training, or of each run at a matched point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spectra_cli.analysis.run import Run
from spectra_cli.core.errors import DataError
from spectra_cli.core.measurements import measurement_words
from spectra_cli.core.spacing import evenly
from spectra_cli.core.types import CheckpointSpectra, Spectrum
from spectra_cli.render.figures.figure import Ink, Scale
from spectra_cli.render.figures.parts.captions import (
    is_at_the_point,
    matched_title,
    matched_words,
    when_words,
)
from spectra_cli.render.figures.request import PlotRequest, nearest

_MOST_CHECKPOINTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One line of every panel: a checkpoint, its ink, and its name in the legend."""

    checkpoint: CheckpointSpectra
    ink: Ink
    label: str

    @property
    def name(self) -> str:
        """Which it is, in a sentence."""
        key = self.checkpoint.ref.key
        return key if self.label in ("", key) else f"{self.label} at {key}"

    def at(self, place: Spectrum) -> Spectrum | None:
        """Its spectrum at the place of another; None where it has none."""
        found = (one for one in self.checkpoint.select(place.measurement) if one.site == place.site)
        return next(found, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of a figure.

    Attributes:
        shown: in order; scale: of their shades, None where each has a colour.
        told: which they are, in sentences; when: the same for a title.
        only_near: whether some of them are only near the point at which runs are matched.
    """

    shown: tuple[Shown, ...]
    scale: Scale | None
    told: tuple[str, ...]
    when: str
    only_near: bool = False

    @property
    def with_fits(self) -> tuple[Shown, ...]:
        """Whose fits are drawn: every run's, and of a training the last checkpoint's alone."""
        return self.shown if self.scale is None else self.shown[-1:]


def lines_of(request: PlotRequest, runs: Sequence[Run], measurements: Sequence[str] | None = None) -> Lines:
    """The checkpoints of a single run, or of several runs those nearest to the last matched point.

    Args:
        measurements: that are drawn of them; None for all.
    """
    if len(runs) == 1:
        return _over_training(request, runs[0], measurements)
    return _matched(request, runs, measurements)


def places_of(request: PlotRequest, lines: Lines, measurement: str, *, most: int | None) -> list[Spectrum]:
    """The places that are meant, of the last line that has any.

    Raises:
        DataError: none of the lines has spectra of the measurement.
        UsageError: a layer or matrix that is not there.
    """
    for shown in reversed(lines.shown):
        if shown.checkpoint.select(measurement):
            return request.spectra(shown.checkpoint, measurement, most=most)
    held = ", ".join(
        dict.fromkeys(f"{one.checkpoint.ref.run} at {one.checkpoint.ref.key}" for one in lines.shown)
    )
    raise DataError(
        f"no {measurement_words(measurement)} were measured of the checkpoints that would be drawn ({held}); "
        "choose other checkpoints"
    )


def _over_training(request: PlotRequest, run: Run, measurements: Sequence[str] | None) -> Lines:
    places = request.places(run)
    chosen = [places[index] for index in evenly(len(places), _MOST_CHECKPOINTS)]
    checkpoints = list(run.series.checkpoints(chosen, vectors=False, measurements=measurements))
    told = (f"{len(chosen)} of {len(places)} checkpoints.",) if len(chosen) < len(places) else ()
    steps = [one.ref.step for one in checkpoints]
    when = when_words([[one.ref for one in checkpoints]])
    known = sorted({step for step in steps if step is not None})
    if len(known) < len(checkpoints) or len(known) < 2:
        shown = [
            Shown(checkpoint=one, ink=Ink(category=place), label=one.ref.key)
            for place, one in enumerate(checkpoints)
        ]
        return Lines(shown=tuple(shown), scale=None, told=told, when=when)
    positive = [step for step in known if step > 0]
    log = positive[-1] > 50 * positive[0]
    low = float(positive[0] if log else known[0])
    scale = Scale(label="step", low=low, high=float(known[-1]), log=log)
    inks = [Ink(shade=scale.share(max(float(step or 0), scale.low))) for step in steps]
    shown = [Shown(checkpoint=one, ink=ink, label="") for one, ink in zip(checkpoints, inks, strict=True)]
    return Lines(shown=tuple(shown), scale=scale, told=told, when=when)


def _matched(request: PlotRequest, runs: Sequence[Run], measurements: Sequence[str] | None) -> Lines:
    alignment = request.matched(runs)
    nearby = [[nearest(run, place, alignment)] for place, run in enumerate(runs)]
    shown = [
        Shown(
            checkpoint=next(run.series.checkpoints(nearby[place], vectors=False, measurements=measurements)),
            ink=Ink(category=place),
            label=run.name,
        )
        for place, run in enumerate(runs)
    ]
    told = (matched_words(runs, alignment), *(f"{one[:1].upper()}{one[1:]}." for one in alignment.notes))
    return Lines(
        shown=tuple(shown),
        scale=None,
        told=told,
        when=matched_title(runs, alignment),
        only_near=not is_at_the_point(runs, alignment),
    )
