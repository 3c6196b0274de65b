"""Spectra against rank: how they change over training, or between runs at a matched point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spectra_cli.analysis.run import Run
from spectra_cli.core.measurements import MEASUREMENTS
from spectra_cli.core.spacing import evenly
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Spectrum, StatisticValue, Status
from spectra_cli.core.words.numbers import with_error
from spectra_cli.core.words.places import place_words
from spectra_cli.render.figures.captions import (
    archive_words,
    matched_words,
    measured_words,
    withheld_words,
)
from spectra_cli.render.figures.figure import (
    MUTED,
    Axis,
    Figure,
    Ink,
    Look,
    Panel,
    Scale,
    Series,
    Window,
    WindowKind,
)
from spectra_cli.render.figures.request import PlotRequest, nearest
from spectra_cli.statistics.jackknife import standard_errors, with_replicates
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import DECAY_EXPONENT, eigenvalue_threshold, evaluate

_MOST_CHECKPOINTS = 8
_MOST_PANELS = 6
_DEFAULT_PANELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """One line of every panel: a checkpoint, its ink, and its name in the legend."""

    checkpoint: CheckpointSpectra
    ink: Ink
    label: str


def figure(request: PlotRequest) -> Figure:
    """Eigenvalues against rank, one line a checkpoint, or one a run at the last matched point.

    Raises:
        SpectraError: the archives do not hold what is asked for.
    """
    runs = request.opened()
    measurement = request.measured(runs[0])
    if len(runs) == 1:
        shown, scale, told = _over_training(request, runs[0])
        title = f"{runs[0].name}: spectra of {MEASUREMENTS[measurement].words} over training"
    else:
        shown, scale, told = _matched(request, runs)
        names = " and ".join(run.name for run in runs)
        title = f"Spectra of {MEASUREMENTS[measurement].words} of {names} at equal {request.align}"
    wanted = request.spectra(shown[-1].checkpoint, measurement, most=_DEFAULT_PANELS)
    left_out = len(wanted) - _MOST_PANELS
    judged: list[StatisticValue] = []
    every_fit: list[dict[str, list[StatisticValue]]] = []
    panels = []
    for spectrum in wanted[:_MOST_PANELS]:
        here = [(one, _same_place(one.checkpoint, spectrum)) for one in shown]
        lines = [(one, there) for one, there in here if there is not None]
        fits = [list(_fits(there, request.statistics)) for _, there in lines]
        judged += [value for values in fits for value in values]
        every_fit.append({one.label: values for (one, _), values in zip(lines, fits, strict=True)})
        panels.append(_panel(spectrum, lines, fits))
    return Figure(
        name="spectrum",
        title=title,
        panels=tuple(panels),
        columns=min(3, len(panels)),
        scale=scale,
        caption=(
            *told,
            *measured_words(runs[0], len(wanted[0].block_sizes)),
            *_sampling(judged, wanted),
            *_exponent_words(shown, wanted[:_MOST_PANELS], every_fit),
            *_zero_words(shown, wanted[:_MOST_PANELS]),
            *withheld_words(judged),
            *([f"{left_out} more places are not shown: --layer, --matrices."] if left_out > 0 else []),
            *archive_words(runs),
        ),
    )


def _over_training(request: PlotRequest, run: Run) -> tuple[list[_Shown], Scale | None, list[str]]:
    places = request.places(run)
    chosen = [places[index] for index in evenly(len(places), _MOST_CHECKPOINTS)]
    checkpoints = list(run.series.checkpoints(chosen, vectors=False))
    told = [f"{len(chosen)} of {len(places)} checkpoints."] if len(chosen) < len(places) else []
    steps = [one.ref.step for one in checkpoints]
    known = sorted({step for step in steps if step is not None})
    if len(known) < len(checkpoints) or len(known) < 2:
        return (
            [
                _Shown(checkpoint=one, ink=Ink(category=place), label=one.ref.key)
                for place, one in enumerate(checkpoints)
            ],
            None,
            told,
        )
    positive = [step for step in known if step > 0]
    log = positive[-1] > 50 * positive[0]
    scale = Scale(label="step", low=float(positive[0] if log else known[0]), high=float(known[-1]), log=log)
    inks = [Ink(shade=scale.share(max(float(step or 0), scale.low))) for step in steps]
    return (
        [_Shown(checkpoint=one, ink=ink, label="") for one, ink in zip(checkpoints, inks, strict=True)],
        scale,
        told,
    )


def _matched(request: PlotRequest, runs: Sequence[Run]) -> tuple[list[_Shown], None, list[str]]:
    alignment = request.matched(runs)
    shown = [
        _Shown(
            checkpoint=next(run.series.checkpoints([nearest(run, place, alignment)], vectors=False)),
            ink=Ink(category=place),
            label=run.name,
        )
        for place, run in enumerate(runs)
    ]
    return shown, None, [matched_words(runs, alignment), *alignment.notes]


def _same_place(checkpoint: CheckpointSpectra, spectrum: Spectrum) -> Spectrum | None:
    found = (one for one in checkpoint.select(spectrum.measurement) if one.site == spectrum.site)
    return next(found, None)


def _fits(spectrum: Spectrum, asked: Sequence[str] | None) -> Iterator[StatisticValue]:
    """The decay exponents of a spectrum: those asked for, or of the default ones the first over any ranks."""
    ends: list[tuple[float, float]] = []
    for name, statistic in STATISTICS.items():
        wanted = statistic.by_default(spectrum) if asked is None else name in asked
        if not wanted or statistic.family is not DECAY_EXPONENT:
            continue
        if spectrum.measurement in statistic.measurements:
            value = evaluate(statistic, spectrum, step=None)
            lo, hi = (value.details.get(f"window_{end}", math.nan) for end in ("lo", "hi"))
            if lo < hi and (asked is not None or not any(lo < last and first < hi for first, last in ends)):
                ends.append((lo, hi))
                yield value


def _panel(
    place: Spectrum, lines: Sequence[tuple[_Shown, Spectrum]], fits: Sequence[Sequence[StatisticValue]]
) -> Panel:
    series = [one for shown, spectrum in lines for one in _line(shown, spectrum)]
    drawn = _has_lines([shown for shown, _ in lines])
    fitted = [
        (shown, value, spectrum.values.size)
        for (shown, spectrum), values in zip(lines, fits, strict=True)
        for value in values
        if shown in drawn
    ]
    series += [_fitted(value, shown.ink, rank) for shown, value, rank in fitted if value.status.has_value]
    return Panel(
        title=place_words(place.measurement, place.site),
        x=Axis(label="rank", log=True, low=1.0),
        y=Axis(label=f"eigenvalue, {_squared(place)}", log=True),
        series=series,
        windows=(
            *_windows([value for _, value, _ in fitted], with_values=len(drawn) == 1),
            *_zeros([spectrum for _, spectrum in lines]),
        ),
    )


def _squared(spectrum: Spectrum) -> str:
    """The unit of its eigenvalues, in words."""
    unit = spectrum.unit if spectrum.kind.value == "eig" else f"{spectrum.unit}^2"
    return unit.replace("_", " ").replace("^2", "²")


def _line(shown: _Shown, spectrum: Spectrum) -> Iterator[Series]:
    rows = with_replicates(spectrum)
    errors = standard_errors(np.ascontiguousarray(rows.T), spectrum.block_sizes)
    values = np.where(rows[0] > max(eigenvalue_threshold(spectrum), 0.0), rows[0], np.nan)
    has_errors = bool(np.isfinite(errors).any())
    yield Series(
        x=np.arange(1.0, values.size + 1),
        y=values,
        ink=shown.ink,
        low=_above_zero(values - errors, values) if has_errors else None,
        high=values + errors if has_errors else None,
        label=shown.label,
    )


def _above_zero(low: FloatArray, values: FloatArray) -> FloatArray:
    """The lower ends of a band on a logarithmic axis: one that reaches zero goes down to a thousandth."""
    return np.where(low > 0, low, 1e-3 * values)


def _has_lines(shown: Sequence[_Shown]) -> Sequence[_Shown]:
    """Whose fits are drawn: every run's, and of a training the last checkpoint's alone."""
    return shown if all(one.ink.shade is None for one in shown) else shown[-1:]


def _exponent_words(
    shown: Sequence[_Shown], places: Sequence[Spectrum], fits: Sequence[dict[str, list[StatisticValue]]]
) -> list[str]:
    """Of which lines exponents are drawn, and what they are where the panels do not say it."""
    drawn = _has_lines(shown)
    if len(drawn) == 1:
        return [f"Dashed: exponents over their windows, of {drawn[0].checkpoint.ref.key}."]
    told = [
        f"{place_words(place.measurement, place.site)} {window_words(value)} "
        + ", ".join(f"{label} {value_words(found[number])}" for label, found in of_runs.items())
        for place, of_runs in zip(places, fits, strict=True)
        for number, value in enumerate(next(iter(of_runs.values()), []))
        if all(len(found) > number for found in of_runs.values())
    ]
    return [f"Dashed: exponents over their windows. {'; '.join(told)}."]


def window_words(value: StatisticValue) -> str:
    """Of which ranks an exponent is.

    `α head 1-10`
    """
    lo, hi = value.details["window_lo"], value.details["window_hi"]
    return f"α {'head' if value.name.startswith('head') else 'tail'} {lo:.0f}-{hi:.0f}"


def value_words(value: StatisticValue) -> str:
    """An exponent with its error, marked where it has a reservation."""
    if not value.status.has_value:
        return "withheld"
    return with_error(value.value, value.stderr) + "*" * (value.status is not Status.OK)


def _fitted(value: StatisticValue, ink: Ink, rank: int) -> Series:
    """The line of an exponent over its window, through the spectrum's mean logarithm there."""
    lo, hi = value.details["window_lo"], min(value.details["window_hi"], rank)
    ranks = np.geomspace(lo, hi, 32)
    return Series(
        x=ranks,
        y=np.exp(value.details["intercept"] - value.value * np.log(ranks)),
        ink=MUTED if ink.shade is not None else ink,
        look=Look.DASHED,
    )


def _windows(fits: Sequence[StatisticValue], *, with_values: bool) -> Iterator[Window]:
    """Where exponents were fitted; hatched where none could be."""
    for name in dict.fromkeys(value.name for value in fits):
        found = [value for value in fits if value.name == name]
        readable = any(value.status.has_value for value in found)
        value = found[-1].details
        told = value_words(found[-1]) if with_values or not readable else ""
        yield Window(
            low=value["window_lo"],
            high=value["window_hi"],
            label="\n".join(filter(None, [window_words(found[-1]), told])),
            kind=WindowKind.FIT if readable else WindowKind.UNREADABLE,
        )


def _first_zero(spectra: Sequence[Spectrum]) -> tuple[int, int]:
    """The first rank from which every one of them is numerically zero, and the last rank."""
    resolved = [int((one.eigenvalues() > eigenvalue_threshold(one)).sum()) for one in spectra]
    return max(resolved, default=0) + 1, max((one.values.size for one in spectra), default=0)


def _zeros(spectra: Sequence[Spectrum]) -> Iterator[Window]:
    """Where nothing can be read for want of any value above the numerical zero."""
    first, last = _first_zero(spectra)
    if first <= last:
        yield Window(low=first - 0.5, high=last + 0.5, label="", kind=WindowKind.UNREADABLE)


def _zero_words(shown: Sequence[_Shown], places: Sequence[Spectrum]) -> list[str]:
    told = []
    for place in places:
        spectra = [there for one in shown if (there := _same_place(one.checkpoint, place)) is not None]
        first, last = _first_zero(spectra)
        if first <= last:
            told.append(f"{place_words(place.measurement, place.site)} from rank {first} of {last} on")
    return [f"Numerically zero, and not drawn: {'; '.join(told)}."] if told else []


def _sampling(values: Sequence[StatisticValue], spectra: Sequence[Spectrum]) -> list[str]:
    """What limits the reading: samples, or effective rows per dimension."""
    ratios = [value.details["n_eff_over_d"] for value in values if "n_eff_over_d" in value.details]
    if ratios:
        low, high = min(ratios), max(ratios)
        span = f"{low:.3g}" if math.isclose(low, high, rel_tol=0.01) else f"{low:.3g} to {high:.3g}"
        return [f"n_eff/d: {span}; below 16 a tail is marked *, below 4 withheld."]
    samples = sorted({one.num_samples for one in spectra if one.block_sizes})
    return [f"{', '.join(map(str, samples))} samples."] if samples else []
