"""Distances between two whole spectra, each with its standard error and its noise floor.

The floor is the distance that two independent probes of this size stay below in 95 % of cases if the
models' spectra are equal. Source: specs E2, E5; the noise of a norm: `distance_noise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr

from spectra_cli.analysis.decisions import Difference
from spectra_cli.analysis.distance_noise import (
    NormNoise,
    absolute_sum_noise,
    block_deviations,
    squared_norm_noise,
)
from spectra_cli.analysis.points import SpectrumAt
from spectra_cli.analysis.quantities import (
    DISTANCE_MARGINS,
    FRACTIONAL,
    HEAD_LOG_DISTANCE,
    HEAD_MOVEMENT,
    HEAD_RANKS,
    JENSEN_SHANNON,
    RANK_WASSERSTEIN,
    TAIL_LOG_DISTANCE,
    tail_window,
)
from spectra_cli.core.types import FloatArray, Spectrum
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
    p, q = (_shape(_resampled(one.eigenvalues(), min(widths)), window) for one in (first, second))
    for name in names:
        missing = why
        if name == TAIL_LOG_DISTANCE and window is None:
            missing = missing or "the window of the tail does not fit these spectra"
        if missing:
            found = _unknown(name, paired=paired)
        else:
            found = _distance(name, (p, first.block_sizes), (q, second.block_sizes), paired=paired)
            missing = "" if math.isfinite(found.delta) else "an eigenvalue in its window is zero"
        yield name + suffix, found, missing


def _why_not(first: Spectrum, second: Spectrum) -> str:
    if not first.block_sizes and not second.block_sizes:
        return ""
    fewer, more = sorted((first.num_samples, second.num_samples))
    if more > LARGEST_SAMPLE_RATIO * fewer:
        return f"{first.num_samples} samples in A and {second.num_samples} in B: distances would measure that"
    return ""


def _resampled(rows: FloatArray, width: int) -> FloatArray:
    """A spectrum at the relative ranks of a narrower one, logarithms linear in log rank."""
    own = rows.shape[1]
    if own == width:
        return rows
    places = np.log(np.arange(1, width + 1) * own / width)
    ranks = np.log(np.arange(1, own + 1))
    positive = rows > 0
    logs = np.log(np.where(positive, rows, 1.0))
    found = np.exp([np.interp(places, ranks, row) for row in logs])
    # a rank next to a zero eigenvalue is zero
    above = np.array([np.interp(places, ranks, row) for row in positive.astype(float)])
    return np.where(above == 1.0, found, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shape:
    """What the distances are made of, (1 + B, K) each: on the whole probe, then without each block.

    Attributes:
        shares: of the trace; cumulative: summed over ranks.
        head: logarithms of ranks 1-10, tail: of the window's; NaN where an eigenvalue is zero.
        log_trace: (1 + B, 1).
    """

    shares: FloatArray
    cumulative: FloatArray
    head: FloatArray
    tail: FloatArray
    log_trace: FloatArray

    def row(self) -> _Shape:
        """The whole probe alone."""
        return _Shape(
            shares=self.shares[:1],
            cumulative=self.cumulative[:1],
            head=self.head[:1],
            tail=self.tail[:1],
            log_trace=self.log_trace[:1],
        )


def _shape(eigenvalues: FloatArray, window: tuple[int, int] | None) -> _Shape:
    trace = eigenvalues.sum(-1, keepdims=True)
    shares = eigenvalues / np.where(trace > 0, trace, np.nan)
    low, high = window or (1, 1)
    return _Shape(
        shares=shares,
        cumulative=np.cumsum(shares, -1),
        head=_log(eigenvalues[:, :HEAD_RANKS]),
        tail=_log(eigenvalues[:, low - 1 : high]),
        log_trace=_log(trace),
    )


def _log(values: FloatArray) -> FloatArray:
    positive = values > 0
    return np.where(positive, np.log(np.where(positive, values, 1.0)), np.nan)


def _shannon_gaps(p: _Shape, q: _Shape) -> FloatArray:
    """Signed roots of what each rank adds to the Jensen-Shannon divergence."""
    middle = (p.shares + q.shares) / 2
    terms = np.maximum(rel_entr(p.shares, middle) + rel_entr(q.shares, middle), 0.0) / 2
    gaps: FloatArray = np.copysign(np.sqrt(terms), q.shares - p.shares)
    return gaps


def _cumulative(shape: _Shape) -> FloatArray:
    averaged: FloatArray = shape.cumulative / shape.cumulative.shape[1]
    return averaged


def _movement(shape: _Shape) -> FloatArray:
    moved: FloatArray = (shape.head - shape.log_trace) / math.sqrt(HEAD_RANKS)
    return moved


def _head(shape: _Shape) -> FloatArray:
    return _centred(shape.head)


def _tail(shape: _Shape) -> FloatArray:
    return _centred(shape.tail)


def _centred(logs: FloatArray) -> FloatArray:
    centred: FloatArray = logs - logs.mean(-1, keepdims=True)
    return centred / math.sqrt(logs.shape[-1])


# the distance is the norm of the difference of these
_COORDINATES: dict[str, Callable[[_Shape], FloatArray]] = {
    RANK_WASSERSTEIN: _cumulative,
    HEAD_LOG_DISTANCE: _head,
    TAIL_LOG_DISTANCE: _tail,
    HEAD_MOVEMENT: _movement,
}
_Sampled = tuple[_Shape, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Gaps:
    """The gaps between two spectra, whose norm is a distance: (rows, K), the first of the whole probe.

    Attributes:
        of_first, of_second: with the blocks of one spectrum left out, and none of the other's.
        together: with the same block left out of both; None where blocks are not common.
        first_noise, second_noise, noise: `block_deviations` of each of them.
    """

    of_first: FloatArray
    of_second: FloatArray
    together: FloatArray | None
    first_noise: FloatArray
    second_noise: FloatArray
    noise: FloatArray | None


def _gaps(name: str, first: _Sampled, second: _Sampled, *, paired: bool) -> _Gaps:
    (p, p_sizes), (q, q_sizes) = first, second
    if name == JENSEN_SHANNON:
        of_first, of_second = _shannon_gaps(p, q.row()), _shannon_gaps(p.row(), q)
        together = _shannon_gaps(p, q) if paired else None
        return _Gaps(
            of_first=of_first,
            of_second=of_second,
            together=together,
            first_noise=block_deviations(of_first, p_sizes),
            second_noise=block_deviations(of_second, q_sizes),
            noise=None if together is None else block_deviations(together, p_sizes),
        )
    x, y = _COORDINATES[name](p), _COORDINATES[name](q)
    x_noise, y_noise = block_deviations(x, p_sizes), block_deviations(y, q_sizes)
    return _Gaps(
        of_first=y[:1] - x,
        of_second=y - x[:1],
        together=y - x if paired else None,
        first_noise=x_noise,
        second_noise=y_noise,
        noise=y_noise - x_noise if paired else None,
    )


def _norm(name: str, gaps: FloatArray) -> FloatArray:
    """The norm whose noise is known: the distance itself, of a divergence its root."""
    norm: FloatArray = np.abs(gaps).sum(-1) if name == RANK_WASSERSTEIN else np.sqrt((gaps**2).sum(-1))
    return norm


def _distance(name: str, first: _Sampled, second: _Sampled, *, paired: bool) -> Difference:
    """The distance with its standard error, its floor, and the chance that it is noise alone."""
    (p, p_sizes), (q, q_sizes) = first, second
    power = 2 if name == JENSEN_SHANNON else 1
    if not p_sizes or not q_sizes:
        rows = p.row(), q.row()
        gap = _shannon_gaps(*rows) if name == JENSEN_SHANNON else np.subtract(*map(_COORDINATES[name], rows))
        return _unknown(name, paired=paired, value=float(_norm(name, gap)[0]) ** power)
    gaps = _gaps(name, first, second, paired=paired)
    noise_of = absolute_sum_noise if name == RANK_WASSERSTEIN else squared_norm_noise
    both = np.concatenate([gaps.first_noise, gaps.second_noise])
    noise = unpaired = noise_of(both, len(p_sizes) + len(q_sizes) - 2)
    if gaps.together is not None and gaps.noise is not None:
        noise = noise_of(gaps.noise, len(p_sizes) - 1)
        stderr = standard_error(_norm(name, gaps.together) ** power, p_sizes)
    else:
        stderr = math.hypot(
            standard_error(_norm(name, gaps.of_first) ** power, p_sizes),
            standard_error(_norm(name, gaps.of_second) ** power, q_sizes),
        )
    norm = float(_norm(name, gaps.of_first)[0])
    return _found(name, norm, power, stderr, noise, unpaired, paired=paired)


def _found(
    name: str,
    norm: float,
    power: int,
    stderr: float,
    noise: NormNoise,
    unpaired: NormNoise,
    *,
    paired: bool,
) -> Difference:
    return Difference(
        first=math.nan,
        second=math.nan,
        delta=norm**power,
        stderr=stderr,
        floor=unpaired.quantile() ** power,
        degrees=noise.degrees,
        paired=paired,
        margin=DISTANCE_MARGINS[name],
        p_value=noise.p_value(norm) if math.isfinite(norm) else math.nan,
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
