"""Everything that a page shows of one run's spectra, gathered in one pass over its archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spectra_cli.analysis.run import Run
from spectra_cli.core.measurements import GRADIENTS
from spectra_cli.core.types import (
    CheckpointSpectra,
    FloatArray,
    Site,
    Spectrum,
    StatisticValue,
)
from spectra_cli.render.figures.parts.over_training import in_cache
from spectra_cli.render.figures.parts.spectra_panel import apart, squared_unit
from spectra_cli.render.report.thinning import Ranks, kept_ranks, spaced_ranks
from spectra_cli.statistics.jackknife import stack_with_replicates, standard_errors
from spectra_cli.statistics.noise_scale import GRADIENT_NOISE_SCALE, noise_scales
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS
from spectra_cli.statistics.statistic import DECAY_EXPONENT, eigenvalue_threshold, evaluate, evaluate_alike


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """The line of an exponent in one spectrum: its window and its heights at both ends; NaN without one."""

    statistic: str
    window: tuple[float, float]
    heights: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """One spectrum as it is drawn.

    Attributes:
        size: how many values the spectrum has.
        ranks: (R,) of the values; values: (R,) eigenvalues, NaN where they are numerically zero.
        error_ranks: (K,) at which errors are drawn; errors: (K,) one standard error; empty without errors.
        fits: of the exponents that are drawn.
    """

    size: int
    ranks: Ranks
    values: FloatArray
    error_ranks: Ranks
    errors: FloatArray
    fits: tuple[Fit, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """The spectra of one measurement of a run at every checkpoint, with their statistics.

    Attributes:
        name: of the measurement, in archives; unit: of an eigenvalue.
        sites: (S,) in order.
        statistics: name -> place in the series and site -> value.
        curves: place in the series and site -> curve.
    """

    name: str
    unit: str
    sites: tuple[Site, ...]
    statistics: Mapping[str, Mapping[tuple[int, str], StatisticValue]]
    curves: Mapping[tuple[int, str], Curve]


@dataclass(slots=True, kw_only=True)
class _Gathered:
    unit: str
    sites: dict[str, Site] = field(default_factory=dict)
    statistics: dict[str, dict[tuple[int, str], StatisticValue]] = field(default_factory=dict)
    curves: dict[tuple[int, str], Curve] = field(default_factory=dict)


def measured(run: Run) -> tuple[tuple[Measured, ...], tuple[str, ...]]:
    """The measurements of a run that have statistics by default, and the names of the others.

    Raises:
        ArchiveError: the archive is damaged.
    """
    found: dict[str, _Gathered] = {}
    windows: _Windows = {}
    places = range(len(run.series))
    for place, checkpoint in zip(places, run.series.checkpoints(places, vectors=False), strict=True):
        for part in _parts(checkpoint, windows):
            first = part.spectra[0]
            into = found.setdefault(first.measurement, _Gathered(unit=squared_unit(first)))
            for spectrum, curve in zip(part.spectra, part.curves, strict=True):
                into.sites[spectrum.site.address] = spectrum.site
                into.curves[place, spectrum.site.address] = curve
            for value in part.values:
                if value.site is not None:
                    into.statistics.setdefault(value.name, {})[place, value.site.address] = value
        for scale in noise_scales(checkpoint.scalars, step=checkpoint.ref.step):
            if scale.site is not None and GRADIENTS in found:
                scales = found[GRADIENTS].statistics.setdefault(GRADIENT_NOISE_SCALE.name, {})
                scales[place, scale.site.address] = scale
    held = run.series.measurements
    return tuple(_measured(name, found[name]) for name in held if name in found), tuple(
        name for name in held if name not in found
    )


def _measured(name: str, found: _Gathered) -> Measured:
    sites = sorted(found.sites.values(), key=lambda one: -1 if one.layer is None else one.layer)
    return Measured(
        name=name,
        unit=found.unit,
        sites=tuple(sites),
        statistics={one: found.statistics[one] for one in DEFINITIONS if one in found.statistics},
        curves=found.curves,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Some spectra of one checkpoint that are alike."""

    spectra: Sequence[Spectrum]
    values: Sequence[StatisticValue]
    curves: Sequence[Curve]


# spectra of which all of this is equal -> the exponents that are drawn, each with its window
_Windows = dict[object, list[tuple[str, tuple[float, float]]]]


def _parts(checkpoint: CheckpointSpectra, windows: _Windows) -> Iterator[_Part]:
    alike: dict[object, list[Spectrum]] = {}
    for one in checkpoint.spectra:
        profile = one.block_profile is not None
        sizes = one.values.size, one.num_samples, one.ambient_dim, one.block_sizes, profile
        alike.setdefault((one.measurement, sizes), []).append(one)
    for key, spectra in ((key, part) for key, every in alike.items() for part in in_cache(every)):
        chosen = [
            one
            for one in STATISTICS.values()
            if spectra[0].measurement in one.measurements and any(map(one.by_default, spectra))
        ]
        if not chosen:
            continue
        stack = stack_with_replicates(spectra)
        values = {one.name: evaluate_alike(one, spectra, stack, step=checkpoint.ref.step) for one in chosen}
        if not windows.get(key):
            windows[key] = _windows(spectra, stack, values)
        yield _Part(
            spectra=spectra,
            values=[one for found in values.values() for one in found],
            curves=_curves(spectra, stack, values, windows[key]),
        )


def _curves(
    spectra: Sequence[Spectrum],
    stack: FloatArray,
    values: Mapping[str, Sequence[StatisticValue]],
    windows: Sequence[tuple[str, tuple[float, float]]],
) -> list[Curve]:
    """The curves of spectra that are alike: stack (S, 1 + B, rank); of each statistic a value a spectrum."""
    size = stack.shape[2]
    heights = [_heights(stack[:, 0], values[name], *window) for name, window in windows]
    ranks, error_ranks = kept_ranks(size, [window for _, window in windows]), spaced_ranks(size)
    errors = np.empty((len(spectra), 0))
    if stack.shape[1] > 1:
        rows = np.ascontiguousarray(stack[:, :, error_ranks - 1].transpose(0, 2, 1))
        errors = standard_errors(rows, spectra[0].block_sizes)
    drawn = stack[:, 0, ranks - 1]
    thresholds = np.array([max(eigenvalue_threshold(one), 0.0) for one in spectra])
    drawn = np.where(drawn > thresholds[:, None], drawn, np.nan)
    has_errors = [bool(np.isfinite(one).any()) for one in errors]
    return [
        Curve(
            size=size,
            ranks=ranks,
            values=drawn[place],
            error_ranks=error_ranks if has_errors[place] else error_ranks[:0],
            errors=errors[place] if has_errors[place] else np.empty(0),
            fits=tuple(
                Fit(statistic=name, window=window, heights=(first, last))
                for (name, window), (first, last) in zip(windows, own, strict=True)
            ),
        )
        for place, own in enumerate(
            np.array(heights).reshape(len(windows), len(spectra), 2).swapaxes(0, 1).tolist()
        )
    ]


def _windows(
    spectra: Sequence[Spectrum], stack: FloatArray, values: Mapping[str, Sequence[StatisticValue]]
) -> list[tuple[str, tuple[float, float]]]:
    """The exponents that are drawn of spectra that are alike, each with its window; none of zeros."""
    exponents = []
    for name, found in values.items():
        if STATISTICS[name].family is DECAY_EXPONENT:
            best = next((place for place, one in enumerate(found) if one.status.has_value), 0)
            exponents.append(evaluate(STATISTICS[name], spectra[best], step=None, rows=stack[best]))
    ends = [(one, one.details["window_lo"], one.details["window_hi"]) for one in apart(exponents)]
    return [(one.name, (lo, min(hi, float(stack.shape[2])))) for one, lo, hi in ends]


def _heights(
    eigenvalues: FloatArray, exponents: Sequence[StatisticValue], lo: float, hi: float
) -> FloatArray:
    """(S, 2) of each exponent's line at the ends of its window: it goes through the mean logarithm there.

    NaN where the exponent is withheld.
    """
    ranks = np.arange(int(lo), int(hi) + 1)
    alphas = np.array([one.value for one in exponents])
    known = np.isfinite(alphas)
    heights = np.full((alphas.size, 2), np.nan)
    middle = np.log(eigenvalues[known][:, ranks - 1]).mean(axis=1)
    beyond = np.log([lo, hi]) - np.log(ranks).mean()
    heights[known] = np.exp(middle[:, None] - alphas[known][:, None] * beyond)
    return heights
