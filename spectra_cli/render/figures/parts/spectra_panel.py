"""One panel of spectra against rank, and what its caption has to say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spectra_cli.core.measurements import measurement_words
from spectra_cli.core.types import FloatArray, Spectrum, SpectrumKind, StatisticValue, Status
from spectra_cli.core.words.numbers import with_error
from spectra_cli.core.words.places import place_words
from spectra_cli.render.figures.figure import MUTED, Axis, Look, Panel, Series, Window, WindowKind
from spectra_cli.render.figures.parts.captions import withheld_words
from spectra_cli.render.figures.parts.drawn_signs import has_fits
from spectra_cli.render.figures.parts.lines import Lines, Shown
from spectra_cli.statistics.jackknife import standard_errors, with_replicates
from spectra_cli.statistics.registry import STATISTICS
from spectra_cli.statistics.statistic import DECAY_EXPONENT, eigenvalue_threshold, evaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectraPanel:
    """The spectra of one place.

    Attributes:
        panel: as drawn; place: one of the spectra, for what they have in common.
        fits: of each line its exponents.
        zeros: from which rank on lines are numerically zero; empty where none is.
        all_zero, lacking: names of lines that are not drawn, since every eigenvalue is numerically zero, or
            since there is no spectrum at this place.
    """

    panel: Panel
    place: Spectrum
    fits: Sequence[tuple[Shown, Sequence[StatisticValue]]]
    zeros: str
    all_zero: tuple[str, ...]
    lacking: tuple[str, ...]


def panel_of(place: Spectrum, lines: Lines, statistics: Sequence[str] | None) -> SpectraPanel:
    """The spectra of all lines at a place, with the exponents asked for, or the usual ones."""
    here = [(one, there) for one in lines.shown if (there := one.at(place)) is not None]
    fits = [(one, list(_fits(there, statistics))) for one, there in here]
    drawn = [
        (shown, value)
        for shown, values in fits
        for value in values
        if any(shown is one for one in lines.with_fits)
    ]
    spectra = [there for _, there in here]
    seen = {id(one) for one, _ in here}
    panel = Panel(
        title=place_words(place.measurement, place.site),
        x=Axis(label="rank", log=True, low=1.0),
        y=Axis(label=f"eigenvalue, {squared_unit(place)}", log=True),
        series=(
            *(_line(shown, spectrum) for shown, spectrum in here),
            *(_fitted(value, place.values.size) for _, value in drawn if value.status.has_value),
        ),
        windows=(
            *_windows([value for _, value in drawn], with_values=len(lines.with_fits) == 1),
            *_zeros(spectra),
        ),
    )
    return SpectraPanel(
        panel=panel,
        place=place,
        fits=fits,
        zeros=_zero_words(spectra),
        all_zero=tuple(one.name for one, there in here if _resolved(there) == 0),
        lacking=tuple(one.name for one in lines.shown if id(one) not in seen),
    )


def captions_of(panels: Sequence[SpectraPanel], lines: Lines, *, with_values: bool = True) -> list[str]:
    """What limits the reading of spectra, and of which lines exponents are drawn, with their values.

    Args:
        with_values: of exponents, where the panels do not say them.
    """
    judged = [value for one in panels for _, values in one.fits for value in values]
    shown = [
        value
        for one in panels
        for whose, values in one.fits
        if any(whose is each for each in lines.with_fits)
        for value in values
    ]
    zeros = [f"{_place(one)} {one.zeros}" for one in panels if one.zeros]
    return [
        *_sampling(judged, [one.place for one in panels]),
        *(_exponent_words(panels, lines) if with_values else []),
        *([f"Numerically zero, and not drawn: {'; '.join(zeros)}."] if zeros else []),
        *_lines_left_out(panels),
        *withheld_words(shown),
    ]


def _lines_left_out(panels: Sequence[SpectraPanel]) -> list[str]:
    """Which lines are in none of the panels' pictures, and why."""
    zero = [f"{_place(one)} of {', '.join(one.all_zero)}" for one in panels if one.all_zero]
    lacking = [f"{_place(one)} of {', '.join(one.lacking)}" for one in panels if one.lacking]
    return [
        *([f"No line, since every eigenvalue is numerically zero: {'; '.join(zero)}."] if zero else []),
        *([f"No line, since nothing was measured there: {'; '.join(lacking)}."] if lacking else []),
    ]


def _place(one: SpectraPanel) -> str:
    return place_words(one.place.measurement, one.place.site)


def _exponent_words(panels: Sequence[SpectraPanel], lines: Lines) -> list[str]:
    """Of which lines exponents are drawn, and what they are where the panels do not say it."""
    dashes = has_fits([one.panel for one in panels])
    if len(lines.with_fits) == 1:
        whose = lines.with_fits[0].checkpoint.ref.key
        return [f"Fitted exponents, over the ranks named: of {whose}."] if dashes else []
    told = [
        f"{_place(one)} {_window_words(value)} "
        + ", ".join(f"{shown.label} {_value_words(values[number])}" for shown, values in one.fits)
        for one in panels
        for number, value in enumerate(one.fits[0][1] if one.fits else ())
        if all(len(values) > number for _, values in one.fits)
    ]
    return [f"Fitted exponents, over the ranks named: {'; '.join(told)}."] if told else []


def _sampling(values: Sequence[StatisticValue], spectra: Sequence[Spectrum]) -> list[str]:
    """What limits the reading: samples, or effective rows per dimension."""
    ratios = [value.details["n_eff_over_d"] for value in values if "n_eff_over_d" in value.details]
    if ratios:
        low, high = min(ratios), max(ratios)
        span = f"{low:.3g}" if math.isclose(low, high, rel_tol=0.01) else f"{low:.3g} to {high:.3g}"
        told = f"Independent rows per dimension (n_eff/d): {span}"
        return [f"{told}; below 16 a tail is marked *, below 4 withheld."]
    samples = {
        f"{one.num_samples} samples of {measurement_words(one.measurement)}": None
        for one in spectra
        if one.block_sizes
    }
    return [f"{', '.join(samples)}."] if samples else []


def _fits(spectrum: Spectrum, asked: Sequence[str] | None) -> Iterator[StatisticValue]:
    """The decay exponents of a spectrum: those asked for, or of the default ones the first over any ranks."""
    found = [
        evaluate(statistic, spectrum, step=None)
        for name, statistic in STATISTICS.items()
        if (statistic.by_default(spectrum) if asked is None else name in asked)
        and statistic.family is DECAY_EXPONENT
        and spectrum.measurement in statistic.measurements
    ]
    if asked is None:
        yield from apart(found)
    else:
        yield from (one for one in found if _has_window(one))


def apart(found: Iterable[StatisticValue]) -> list[StatisticValue]:
    """Of exponents in order those that have a window, the first over any ranks."""
    kept: list[StatisticValue] = []
    ends: list[tuple[float, float]] = []
    for one in filter(_has_window, found):
        lo, hi = (one.details[f"window_{end}"] for end in ("lo", "hi"))
        if not any(lo < last and first < hi for first, last in ends):
            ends.append((lo, hi))
            kept.append(one)
    return kept


def _has_window(value: StatisticValue) -> bool:
    lo, hi = (value.details.get(f"window_{end}", math.nan) for end in ("lo", "hi"))
    return lo < hi


def squared_unit(spectrum: Spectrum) -> str:
    """The unit of its eigenvalues, in words."""
    unit = spectrum.unit if spectrum.kind is SpectrumKind.EIGENVALUES else f"{spectrum.unit}^2"
    return unit.replace("_", " ").replace("^2", "²")


def _line(shown: Shown, spectrum: Spectrum) -> Series:
    rows = with_replicates(spectrum)
    errors = standard_errors(np.ascontiguousarray(rows.T), spectrum.block_sizes)
    values = np.where(rows[0] > max(eigenvalue_threshold(spectrum), 0.0), rows[0], np.nan)
    has_errors = bool(np.isfinite(errors).any())
    return Series(
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


def _window_words(value: StatisticValue) -> str:
    """Of which ranks an exponent is.

    `α head 1-10`
    """
    lo, hi = value.details["window_lo"], value.details["window_hi"]
    return f"α {'head' if value.name.startswith('head') else 'tail'} {lo:.0f}-{hi:.0f}"


def _value_words(value: StatisticValue) -> str:
    """An exponent with its error, marked where it has a reservation."""
    if not value.status.has_value:
        return "withheld"
    return with_error(value.value, value.stderr) + "*" * (value.status is not Status.OK)


def _fitted(value: StatisticValue, rank: int) -> Series:
    """The line of an exponent over its window, through the spectrum's mean logarithm there."""
    lo, hi = value.details["window_lo"], min(value.details["window_hi"], rank)
    ranks = np.geomspace(lo, hi, 32)
    return Series(
        x=ranks,
        y=np.exp(value.details["intercept"] - value.value * np.log(ranks)),
        ink=MUTED,
        look=Look.FIT,
        label="fitted exponent",
    )


def _windows(fits: Sequence[StatisticValue], *, with_values: bool) -> Iterator[Window]:
    """Where exponents were fitted; hatched where none could be."""
    for name in dict.fromkeys(value.name for value in fits):
        found = [value for value in fits if value.name == name]
        readable = any(value.status.has_value for value in found)
        value = found[-1].details
        told = _value_words(found[-1]) if with_values or not readable else ""
        yield Window(
            low=value["window_lo"],
            high=value["window_hi"],
            label="\n".join(filter(None, [_window_words(found[-1]), told])),
            kind=WindowKind.FIT if readable else WindowKind.UNREADABLE,
        )


def _resolved(spectrum: Spectrum) -> int:
    """How many of its eigenvalues are above the numerical zero."""
    return int((spectrum.eigenvalues() > eigenvalue_threshold(spectrum)).sum())


def _zero_words(spectra: Sequence[Spectrum]) -> str:
    """From which rank on lines that are drawn are numerically zero: of the shortest, and of all."""
    drawn = [(count, one.values.size) for one in spectra if (count := _resolved(one)) > 0]
    cut = [count for count, size in drawn if count < size]
    if not cut:
        return ""
    last = max(size for _, size in drawn)
    if len(cut) < len(drawn):
        return f"from rank {min(cut) + 1} of {last} on at the earliest"
    if min(cut) < max(cut):
        return f"from rank {min(cut) + 1} of {last} on at the earliest, from {max(cut) + 1} on in every line"
    return f"from rank {min(cut) + 1} of {last} on"


def _zeros(spectra: Sequence[Spectrum]) -> Iterator[Window]:
    """Where nothing can be read for want of any value above the numerical zero."""
    first = max(map(_resolved, spectra), default=0) + 1
    last = max((one.values.size for one in spectra), default=0)
    if first <= last:
        yield Window(low=first - 0.5, high=last + 0.5, label="", kind=WindowKind.UNREADABLE)
