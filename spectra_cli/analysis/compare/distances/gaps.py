"""The gaps between two spectra at a point, whose norm is a distance, and what noise does to them.

There are thousands: sites whose spectra are alike are worked out together.
Dimensions in the descriptions: S sites, K ranks, B blocks of the probe, L of the loss.

See docs/explanation/comparing.md; the noise of a norm: `distance_noise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from spectra_cli.analysis.compare.aligned.spectra_at import BoolArray, SpectraAt, log_or_zero
from spectra_cli.analysis.compare.distances.norm_noise import block_deviations
from spectra_cli.analysis.compare.quantities import (
    HEAD_LOG_DISTANCE,
    HEAD_MOVEMENT,
    HEAD_RANKS,
    JENSEN_SHANNON,
    RANK_WASSERSTEIN,
    TAIL_LOG_DISTANCE,
)
from spectra_cli.core.types import FloatArray


def _resampled(rows: FloatArray, width: int) -> FloatArray:
    """Spectra, (..., own), at the relative ranks of narrower ones, logarithms linear in log rank."""
    own = rows.shape[-1]
    if own == width:
        return rows
    shape, rows = (*rows.shape[:-1], width), rows.reshape(-1, own)
    places = np.log(np.arange(1, width + 1) * own / width)
    ranks = np.log(np.arange(1, own + 1))
    positive = rows > 0
    logs = np.log(np.where(positive, rows, 1.0))
    found = np.exp([np.interp(places, ranks, row) for row in logs])
    # a rank next to a zero eigenvalue is zero
    above = np.array([np.interp(places, ranks, row) for row in positive.astype(float)])
    return np.where(above == 1.0, found, 0.0).reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """What the distances are made of, (S, rows, K) each.

    Attributes:
        shares: of the trace, with their logarithms, 0 for a share of 0; cumulative: summed over ranks.
        head: logarithms of ranks 1-10, tail: of the window's; NaN where an eigenvalue is zero.
        log_trace: (S, rows, 1).
    """

    shares: FloatArray
    log_shares: FloatArray
    cumulative: FloatArray
    head: FloatArray
    tail: FloatArray
    log_trace: FloatArray

    def rows(self, chosen: slice) -> Shape:
        """Some of the rows."""
        return Shape(**{each.name: getattr(self, each.name)[:, chosen] for each in fields(self)})


def _shape(eigenvalues: FloatArray, window: tuple[int, int] | None) -> Shape:
    trace = eigenvalues.sum(-1, keepdims=True)
    shares = eigenvalues / np.where(trace > 0, trace, np.nan)
    low, high = window or (1, 1)
    return Shape(
        shares=shares,
        log_shares=log_or_zero(shares),
        cumulative=np.cumsum(shares, -1),
        head=_log(eigenvalues[..., :HEAD_RANKS]),
        tail=_log(eigenvalues[..., low - 1 : high]),
        log_trace=_log(trace),
    )


def _log(values: FloatArray) -> FloatArray:
    """The logarithm; NaN of a zero."""
    return np.where(values > 0, log_or_zero(values), np.nan)


def _shannon_gaps(p: Shape, q: Shape) -> FloatArray:
    """Signed roots of what each rank adds to the Jensen-Shannon divergence."""
    log_middle = log_or_zero((p.shares + q.shares) / 2)
    terms = p.shares * (p.log_shares - log_middle) + q.shares * (q.log_shares - log_middle)
    terms = np.maximum(terms, 0.0) / 2
    gaps: FloatArray = np.copysign(np.sqrt(terms), q.shares - p.shares)
    return gaps


def _centred(logs: FloatArray) -> FloatArray:
    centred: FloatArray = logs - logs.mean(-1, keepdims=True)
    return centred / math.sqrt(logs.shape[-1])


# the distance is the norm of the difference of these
_COORDINATES: dict[str, Callable[[Shape], FloatArray]] = {
    RANK_WASSERSTEIN: lambda shape: shape.cumulative / shape.cumulative.shape[-1],
    HEAD_LOG_DISTANCE: lambda shape: _centred(shape.head),
    TAIL_LOG_DISTANCE: lambda shape: _centred(shape.tail),
    HEAD_MOVEMENT: lambda shape: (shape.head - shape.log_trace) / math.sqrt(HEAD_RANKS),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """One run's spectra at S sites.

    Attributes:
        shape: (S, 1 + B + 2, ...): on the whole probe; without each block; on the whole probe where the loss
            is off by its standard error; as a parabola through a third checkpoint has it, not the line.
        sizes: (B,) of the blocks.
        bends: (S,) whether the last row is known from a third checkpoint.
        loss: (1 + L,) noise of the loss, and loss_sizes: (L,), where its blocks are not these; else empty.
    """

    shape: Shape
    sizes: tuple[int, ...]
    bends: BoolArray
    loss: FloatArray
    loss_sizes: tuple[int, ...]


_WHOLE, _ROWS, _MOVED, _BENT = slice(1), slice(None, -2), slice(-2, -1), slice(-1, None)


def sampled(run: SpectraAt, width: int, window: tuple[int, int] | None) -> Sampled:
    """A run's spectra at the point, at this many relative ranks, with the window of their tails."""
    rows = run.eigenvalues()
    elsewhere = [one[:, None] for one in run.elsewhere(rows[:, 0])]
    apart = run.point.moves and not run.with_loss and bool(run.block_sizes)
    return Sampled(
        shape=_shape(_resampled(np.concatenate([rows, *elsewhere], 1), width), window),
        sizes=run.block_sizes,
        bends=run.bends(rows[:, 0]),
        loss=run.point.loss_noise if apart else np.empty(0),
        loss_sizes=run.point.loss_sizes if apart else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaps:
    """The gaps between two spectra, K of them, whose norm is a distance; at each of S sites.

    Attributes:
        whole: (S, 1, K) on the whole probe.
        left_out: (S, 1 + B, K) with the same block left out of both; where blocks are not common, of each
            spectrum in turn; with the sizes of the blocks.
        noise: (S, rows, K) deviations whose squares add up to the noise; unpaired: those on two probes.
        moved: (S, 0 or 2, K) the part of `noise` from losses with blocks of their own.
        bent: (S, 2, K) how far interpolation was off in each spectrum; both together and nothing more, where
            third checkpoints tell in which direction.
    """

    whole: FloatArray
    left_out: tuple[tuple[FloatArray, tuple[int, ...]], ...]
    noise: FloatArray
    unpaired: FloatArray
    moved: FloatArray
    bent: FloatArray


def gaps_between(name: str, first: Sampled, second: Sampled, *, paired: bool) -> Gaps:
    """The gaps that a distance is the norm of.

    Args:
        name: of the distance.
        first, second: both with blocks.
        paired: the blocks are common to both.
    """
    of_first, of_second, together = _gaps(name, first.shape, second.shape)
    whole = together[:, _WHOLE]
    bent = np.concatenate([of_first[:, _BENT], of_second[:, _BENT]], 1) - whole
    known = first.bends & second.bends
    bent[known] = np.concatenate([together[:, _BENT] - whole, np.zeros_like(whole)], 1)[known]
    noises = [
        block_deviations(gaps[:, _ROWS], run.sizes) for gaps, run in ((of_first, first), (of_second, second))
    ]
    moved = together_moved = whole[:, :0]
    if first.loss.size or second.loss.size:
        by_first, by_second = of_first[:, _MOVED] - whole, of_second[:, _MOVED] - whole
        common = _correlation(first, second)
        moved = np.concatenate([by_first, by_second], 1)
        own = math.sqrt(1 - common**2)
        together_moved = np.concatenate([by_second + common * by_first, own * by_first], 1)
    unpaired = np.concatenate([*noises, moved], 1)
    if not paired:
        left_out = (of_first[:, _ROWS], first.sizes), (of_second[:, _ROWS], second.sizes)
        return Gaps(whole=whole, left_out=left_out, noise=unpaired, unpaired=unpaired, moved=moved, bent=bent)
    # noise is linear in the blocks: what both do together is the sum of what each does
    return Gaps(
        whole=whole,
        left_out=((together[:, _ROWS], first.sizes),),
        noise=np.concatenate([noises[0] + noises[1], together_moved], 1),
        unpaired=unpaired,
        moved=together_moved,
        bent=bent,
    )


def _gaps(name: str, first: Shape, second: Shape) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The gaps as the rows of the first spectra have them, as those of the second, and of both together."""
    if name == JENSEN_SHANNON:
        p, q = first.rows(_WHOLE), second.rows(_WHOLE)
        return _shannon_gaps(first, q), _shannon_gaps(p, second), _shannon_gaps(first, second)
    x, y = (_COORDINATES[name](shape) for shape in (first, second))
    return y[:, :1] - x, y - x[:, :1], y - x


def _correlation(first: Sampled, second: Sampled) -> float:
    """Of the noise of the losses of two runs on one probe."""
    if not first.loss.size or first.loss_sizes != second.loss_sizes:
        return 0.0
    noise = [block_deviations(run.loss[:, None], run.loss_sizes)[:, 0] for run in (first, second)]
    size = math.sqrt(float(noise[0] @ noise[0]) * float(noise[1] @ noise[1]))
    return min(1.0, float(noise[0] @ noise[1]) / size) if size else 0.0


def norm_of(name: str, gaps: FloatArray) -> FloatArray:
    """The norm, (...,), whose noise is known: the distance itself, of a divergence its root."""
    norm: FloatArray = np.abs(gaps).sum(-1) if name == RANK_WASSERSTEIN else np.sqrt((gaps**2).sum(-1))
    return norm


def exact_norm(name: str, first: Sampled, second: Sampled) -> FloatArray:
    """The norms alone, (S,), of spectra without blocks."""
    _, _, together = _gaps(name, first.shape.rows(_WHOLE), second.shape.rows(_WHOLE))
    return norm_of(name, together)[:, 0]
