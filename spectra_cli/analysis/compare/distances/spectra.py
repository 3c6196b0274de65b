"""Distances between two whole spectra, each with its standard error and its noise floor.

The floor is the distance that two independent probes of this size stay below in 95 % of cases if the
models' spectra are equal. See docs/explanation/comparing.md; the noise of a norm: `distance_noise`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from spectra_cli.analysis.compare.aligned.spectra_at import SpectraAt
from spectra_cli.analysis.compare.decisions import Difference
from spectra_cli.analysis.compare.distances.gaps import Sampled, exact_norm, gaps_between, norm_of, sampled
from spectra_cli.analysis.compare.distances.norm_noise import absolute_sum_noise, squared_norm_noise
from spectra_cli.analysis.compare.quantities import (
    DISTANCES,
    FRACTIONAL,
    HEAD_RANKS,
    JENSEN_SHANNON,
    RANK_WASSERSTEIN,
    TAIL_LOG_DISTANCE,
    tail_window,
)
from spectra_cli.core.measurements import EXACT
from spectra_cli.core.types import Spectrum
from spectra_cli.statistics.jackknife import standard_errors

# Sample eigenvalues are biased by few samples; the bias cancels only between equal numbers of them.
LARGEST_SAMPLE_RATIO = 1.01
Distance = tuple[str, Difference, str]


def distances(
    first: SpectraAt, second: SpectraAt, names: Sequence[str], *, paired: bool
) -> list[list[Distance]]:
    """At each site, the distances of two spectra at a point as (name, distance, why there is none).

    Spectra of different width are compared at equal relative ranks, those of the narrower one: the names
    then end in `_frac`.

    Args:
        first, second: A and B at the same sites, which are `alike`.
        names: of the distances.
        paired: both runs were measured on the same probe.
    """
    a, b = first.some, second.some
    widths, num_sites = (a.values.size, b.values.size), len(first.sites)
    suffix = "" if widths[0] == widths[1] else FRACTIONAL
    why = _why_not(a, b)
    window = tail_window(a if widths[0] <= widths[1] else b)
    paired = paired and first.block_sizes == second.block_sizes
    if not why and min(widths) < HEAD_RANKS:
        why = f"the spectra have fewer than {HEAD_RANKS} values"
    runs = [sampled(one, min(widths), window) for one in (first, second)] if names and not why else []
    found: list[list[Distance]] = [[] for _ in range(num_sites)]
    for name in names:
        missing = why
        if name == TAIL_LOG_DISTANCE and window is None:
            missing = missing or "the window of the tail does not fit these spectra"
        if missing:
            nothing = Difference(delta=math.nan, paired=paired, margin=DISTANCES[name].margin)
            of_sites = [nothing] * num_sites
        else:
            of_sites = _distances(name, runs[0], runs[1], paired=paired)
        for here, one in zip(found, of_sites, strict=True):
            here.append((name + suffix, one, missing or _why_unknown(one, exact=a.measurement in EXACT)))
    return found


def _why_not(first: Spectrum, second: Spectrum) -> str:
    if not first.block_sizes and not second.block_sizes:
        return ""
    fewer, more = sorted((first.num_samples, second.num_samples))
    if more > LARGEST_SAMPLE_RATIO * fewer:
        return f"{first.num_samples} samples in A and {second.num_samples} in B: distances would measure that"
    return ""


def _why_unknown(found: Difference, *, exact: bool) -> str:
    if not math.isfinite(found.delta):
        return "an eigenvalue in its window is zero"
    if exact or math.isfinite(found.p_value):
        return ""
    return "no standard error: fewer than two blocks of the probe, or a zero eigenvalue without one of them"


def _distances(name: str, first: Sampled, second: Sampled, *, paired: bool) -> list[Difference]:
    """The distance at each site with its standard error, its floor, and the chance that it is noise alone."""
    power = 2 if name == JENSEN_SHANNON else 1
    if not (first.sizes and second.sizes):
        values = exact_norm(name, first, second) ** power
        margin = DISTANCES[name].margin
        return [Difference(delta=value, paired=paired, margin=margin) for value in values.tolist()]
    gaps = gaps_between(name, first, second, paired=paired)
    norm = norm_of(name, gaps.whole)[:, 0]
    # a norm is off by no more than the norm of what its gaps are off by
    bends = norm_of(name, gaps.bent)
    bent = np.where(np.isfinite(bends), bends, 0.0).sum(-1)
    noise_of = absolute_sum_noise if name == RANK_WASSERSTEIN else squared_norm_noise
    noise = unpaired = noise_of(gaps.unpaired, len(first.sizes) + len(second.sizes) - 2)
    if paired:
        noise = noise_of(gaps.noise, len(first.sizes) - 1)
    errors = [standard_errors(norm_of(name, rows) ** power, sizes) for rows, sizes in gaps.left_out]
    errors += [norm_of(name, gaps.whole + gaps.moved).T ** power - norm**power]
    columns = (
        norm**power,
        np.sqrt(np.square(np.vstack(errors)).sum(0)),
        unpaired.quantile() ** power,
        noise.p_value(np.maximum(norm - bent, 0.0)),
        np.where(np.isfinite(norm), (norm + bent) ** power - norm**power, 0.0),
    )
    return [
        Difference(
            delta=delta,
            stderr=stderr,
            floor=floor,
            degrees=noise.degrees,
            paired=paired,
            margin=DISTANCES[name].margin,
            p_value=p_value if math.isfinite(delta) else math.nan,
            interpolated=interpolated,
        )
        for delta, stderr, floor, p_value, interpolated in zip(*(c.tolist() for c in columns), strict=True)
    ]
