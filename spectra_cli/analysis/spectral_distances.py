"""Distances between two whole spectra, each with its standard error and its noise floor.

The floor is the distance that two independent probes of this size stay below in 95 % of cases if the
models' spectra are equal. Source: specs E2, E5; the noise of a norm: `distance_noise`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from spectra_cli.analysis.decisions import Difference
from spectra_cli.analysis.distance_noise import absolute_sum_noise, squared_norm_noise
from spectra_cli.analysis.points import SpectrumAt
from spectra_cli.analysis.quantities import (
    DISTANCE_MARGINS,
    EXACT,
    FRACTIONAL,
    HEAD_RANKS,
    JENSEN_SHANNON,
    RANK_WASSERSTEIN,
    TAIL_LOG_DISTANCE,
    tail_window,
)
from spectra_cli.analysis.spectral_gaps import Sampled, exact_norm, gaps_between, norm_of, sampled
from spectra_cli.core.types import Spectrum
from spectra_cli.statistics.jackknife import standard_error

# Sample eigenvalues are biased by few samples; the bias cancels only between equal numbers of them.
LARGEST_SAMPLE_RATIO = 1.01


def distances(
    first: SpectrumAt, second: SpectrumAt, names: Sequence[str], *, paired: bool
) -> Iterator[tuple[str, Difference, str]]:
    """The distances of two spectra at a point as (name, distance, why there is none).

    Spectra of different width are compared at equal relative ranks, those of the narrower one: the names
    then end in `_frac`.
    """
    widths = [one.before.values.size for one in (first, second)]
    suffix = "" if widths[0] == widths[1] else FRACTIONAL
    why = _why_not(first.before, second.before)
    window = tail_window(first.before if widths[0] <= widths[1] else second.before)
    paired = paired and first.block_sizes == second.block_sizes
    if not why and min(widths) < HEAD_RANKS:
        why = f"the spectra have fewer than {HEAD_RANKS} values"
    runs = [sampled(one, min(widths), window) for one in (first, second)] if names and not why else []
    for name in names:
        missing = why
        if name == TAIL_LOG_DISTANCE and window is None:
            missing = missing or "the window of the tail does not fit these spectra"
        if missing:
            found = _unknown(name, paired=paired)
        else:
            found = _distance(name, runs[0], runs[1], paired=paired)
            missing = _why_unknown(first, found)
        yield name + suffix, found, missing


def _why_not(first: Spectrum, second: Spectrum) -> str:
    if not first.block_sizes and not second.block_sizes:
        return ""
    fewer, more = sorted((first.num_samples, second.num_samples))
    if more > LARGEST_SAMPLE_RATIO * fewer:
        return f"{first.num_samples} samples in A and {second.num_samples} in B: distances would measure that"
    return ""


def _why_unknown(first: SpectrumAt, found: Difference) -> str:
    if not math.isfinite(found.delta):
        return "an eigenvalue in its window is zero"
    if first.before.measurement in EXACT or math.isfinite(found.p_value):
        return ""
    return "no standard error: fewer than two blocks of the probe, or a zero eigenvalue without one of them"


def _distance(name: str, first: Sampled, second: Sampled, *, paired: bool) -> Difference:
    """The distance with its standard error, its floor, and the chance that it is noise alone."""
    power = 2 if name == JENSEN_SHANNON else 1
    if not (first.sizes and second.sizes):
        return _unknown(name, paired=paired, value=exact_norm(name, first, second) ** power)
    gaps = gaps_between(name, first, second, paired=paired)
    norm = float(norm_of(name, gaps.whole)[0])
    # a norm is off by no more than the norm of what its gaps are off by
    bends = norm_of(name, gaps.bent)
    bent = float(bends[np.isfinite(bends)].sum())
    noise_of = absolute_sum_noise if name == RANK_WASSERSTEIN else squared_norm_noise
    noise = unpaired = noise_of(gaps.unpaired, len(first.sizes) + len(second.sizes) - 2)
    if paired:
        noise = noise_of(gaps.noise, len(first.sizes) - 1)
    errors = [standard_error(norm_of(name, rows) ** power, sizes) for rows, sizes in gaps.left_out]
    errors += (norm_of(name, gaps.whole + gaps.moved) ** power - norm**power).tolist()
    known = math.isfinite(norm)
    return Difference(
        first=math.nan,
        second=math.nan,
        delta=norm**power,
        stderr=math.hypot(*errors),
        floor=unpaired.quantile() ** power,
        degrees=noise.degrees,
        paired=paired,
        margin=DISTANCE_MARGINS[name],
        p_value=noise.p_value(max(norm - bent, 0.0)) if known else math.nan,
        interpolated=(norm + bent) ** power - norm**power if known else 0.0,
    )


def _unknown(name: str, *, paired: bool, value: float = math.nan) -> Difference:
    return Difference(
        first=math.nan,
        second=math.nan,
        delta=value,
        stderr=math.nan,
        floor=math.nan,
        degrees=0,
        paired=paired,
        margin=DISTANCE_MARGINS[name],
        p_value=math.nan,
    )
