"""alpha-ReQ: a decay exponent that weighs early ranks more. Source: arXiv 2509.23024.

See docs/explanation/estimators.md.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from spectra_cli.core.measurements import ACTIVATIONS
from spectra_cli.core.types import FloatArray, Spectrum
from spectra_cli.core.words.plurals import counted
from spectra_cli.statistics.statistic import (
    DECAY_EXPONENT,
    Estimate,
    Statistic,
    eigenvalue_threshold,
    never,
    of_rows,
    one_by_one,
    unresolved,
)

LO, HI = 11, 100


def weighted_decay_exponent(eigenvalues: FloatArray, lo: int, hi: int) -> FloatArray:
    """Exponent over ranks lo..hi by least squares with weights 1/rank: a line in log-log, sign reversed.

    Args:
        eigenvalues: (..., rank) descending, positive up to rank hi.
        lo, hi: first and last rank, from 1.

    >>> weighted_decay_exponent(np.arange(1.0, 101.0) ** -1.5, 11, 100).round(12).item()
    1.5
    """
    logs = np.log(eigenvalues[..., lo - 1 : hi])
    exponent: FloatArray = 0.0 - (logs - logs[..., :1]) @ _line(lo, hi)
    return exponent


@lru_cache(maxsize=64)
def _line(lo: int, hi: int) -> FloatArray:
    """(points,) the slope is their product with log eigenvalues."""
    ranks = np.arange(lo, hi + 1, dtype=np.float64)
    x, weights = np.log(ranks), 1.0 / ranks
    x = x - weights @ x / weights.sum()
    line: FloatArray = weights * x / (weights @ x**2)
    return line


def _alpha_req(rows: FloatArray, spectrum: Spectrum) -> Estimate:
    num_above = int((spectrum.eigenvalues() > eigenvalue_threshold(spectrum)).sum())
    window = {"window_lo": float(LO), "window_hi": float(HI)}
    if num_above < HI:
        reason = (
            f"ranks {LO}-{HI} do not fit a spectrum of {counted(num_above, 'value')} above numerical zero"
        )
        return unresolved(reason, window)
    resolved = rows[:, HI - 1] > max(eigenvalue_threshold(spectrum), 0.0)
    exponents = weighted_decay_exponent(np.where(resolved[:, None], rows, 1.0), LO, HI)
    return of_rows(np.where(resolved, exponents, np.nan), window)


ALPHA_REQ_11_100 = Statistic(
    name="alpha_req_11_100",
    title="alpha-ReQ, ranks 11-100",
    short="α ReQ\n11-100",
    family=DECAY_EXPONENT,
    phrase="alpha-ReQ",
    summary="Exponent a of eigenvalues ~ rank^-a over ranks 11-100, fitted with weights 1/rank.",
    source="Agrawal et al. 2022; ranks of the reptrix library, near those of arXiv 2509.23024",
    measurements=(ACTIVATIONS,),
    function=one_by_one(_alpha_req),
    by_default=never,
)
