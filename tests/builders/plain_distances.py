"""Distances between two spectra of equal size: shape as a distribution over ranks, shape on a log scale.

Eigenvalues come descending, (rank,) or (rows, rank) for several spectra at once; all functions work on
the last axis. See docs/explanation/comparing.md.
"""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from spectra_cli.core.types import FloatArray


def trace_normalised(eigenvalues: FloatArray) -> FloatArray:
    """Each spectrum over its own sum: a distribution over ranks."""
    shares: FloatArray = eigenvalues / eigenvalues.sum(-1, keepdims=True)
    return shares


def jensen_shannon(first: FloatArray, second: FloatArray) -> FloatArray:
    """Jensen-Shannon divergence of the trace-normalised spectra, nats, in [0, ln 2].

    Args:
        first, second: (..., rank) eigenvalues; zeros are taken as they are.

    >>> round(float(jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))), 6)
    0.693147
    """
    p, q = trace_normalised(first), trace_normalised(second)
    middle = (p + q) / 2
    divergence: FloatArray = (rel_entr(p, middle).sum(-1) + rel_entr(q, middle).sum(-1)) / 2
    # rounding can leave the divergence of equal spectra just below zero
    return np.clip(divergence, 0.0, np.log(2))


def rank_wasserstein(first: FloatArray, second: FloatArray) -> FloatArray:
    """Mean distance between the cumulative shares, `1/d sum_j |P_j - Q_j|`: W1 over relative rank."""
    gap = np.cumsum(trace_normalised(first) - trace_normalised(second), axis=-1)
    distance: FloatArray = np.abs(gap).mean(-1)
    return distance


def log_spectral_distance(first: FloatArray, second: FloatArray, low: int, high: int) -> FloatArray:
    """Standard deviation over ranks `low` to `high` (from 1) of the log ratio: shape without scale.

    NaN where either spectrum is zero inside the window.
    """
    ratio = _log_ratio(first, second, low, high)
    distance: FloatArray = ratio.std(-1)
    return distance


def head_movement(first: FloatArray, second: FloatArray, num_ranks: int = 10) -> FloatArray:
    """Root mean square log ratio of the first `num_ranks` shares of the trace (head movement)."""
    ratio = _log_ratio(trace_normalised(first), trace_normalised(second), 1, num_ranks)
    movement: FloatArray = np.sqrt((ratio**2).mean(-1))
    return movement


def _log_ratio(first: FloatArray, second: FloatArray, low: int, high: int) -> FloatArray:
    window = slice(low - 1, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: FloatArray = np.log(first[..., window]) - np.log(second[..., window])
    return np.where(np.isfinite(ratio).all(-1, keepdims=True), ratio, np.nan)
