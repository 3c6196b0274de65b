"""Effective ranks and shares: over how many directions the variance is spread.

See docs/explanation/estimators.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from spectra_cli.core.measurements import ACTIVATIONS, GRADIENT_MATRIX, GRADIENTS, WEIGHT_UPDATES, WEIGHTS
from spectra_cli.core.types import FloatArray, Spectrum
from spectra_cli.statistics.statistic import (
    LEVEL,
    RANK,
    SHARE,
    Estimate,
    Statistic,
    at_once,
    each,
    unresolved,
)

_COVARIANCES = (ACTIVATIONS, GRADIENTS)
_ALL = (ACTIVATIONS, GRADIENTS, GRADIENT_MATRIX, WEIGHTS, WEIGHT_UPDATES)


def _total(values: FloatArray) -> FloatArray:
    """(...,) sum of each row; NaN where it is zero, so that nothing divides by it."""
    total = values.sum(axis=-1)
    return np.where(total > 0, total, np.nan)


def spectral_entropy(values: FloatArray) -> FloatArray:
    """Shannon entropy in nats of the shares, `-sum p ln p` with `0 ln 0 = 0`.

    Args:
        values: (..., rank) non-negative.

    >>> spectral_entropy(np.ones(8)).round(12).item() == round(math.log(8), 12)
    True
    """
    p = values / _total(values)[..., None]
    # 0 ln 0 = 0: an exact zero meets a finite log.
    logs = np.log(np.maximum(p, np.finfo(np.float64).tiny))
    entropy: FloatArray = 0.0 - np.einsum("...j,...j->...", p, logs)
    return entropy


def effective_rank(values: FloatArray) -> FloatArray:
    """`exp` of the spectral entropy: 1 for a single direction, d for d equal ones."""
    rank: FloatArray = np.exp(spectral_entropy(values))
    return rank


def participation_ratio(eigenvalues: FloatArray) -> FloatArray:
    """`(sum lambda)^2 / sum lambda^2`.

    >>> participation_ratio(np.array([1.0, 1.0, 0.0])).item()
    2.0
    """
    squares = np.einsum("...j,...j->...", eigenvalues, eigenvalues)
    ratio: FloatArray = _total(eigenvalues) ** 2 / squares
    return ratio


def stable_rank(eigenvalues: FloatArray) -> FloatArray:
    """`sum lambda / lambda_1`, which for a matrix is `|W|_F^2 / sigma_1^2`."""
    ratio: FloatArray = _total(eigenvalues) / eigenvalues[..., 0]
    return ratio


def directions_holding(eigenvalues: FloatArray, share: float) -> FloatArray:
    """Leading directions that hold `share` of the variance, interpolated inside the last of them.

    The integer is its ceiling; a step function would have no standard error.

    >>> directions_holding(np.array([2.0, 1.0, 1.0]), 0.625).item()
    1.5
    """
    held = np.cumsum(eigenvalues, axis=-1) / _total(eigenvalues)[..., None]
    # A tie that rounding broke must not cost a direction.
    last = (held >= share * (1 - 1e-12)).argmax(axis=-1)[..., None]
    before = np.where(last > 0, np.take_along_axis(held, np.maximum(last - 1, 0), axis=-1), 0.0)
    here = np.take_along_axis(held, last, axis=-1) - before
    fraction = np.minimum((share - before) / here, 1.0)
    crossing: FloatArray = (last + fraction)[..., 0]
    return crossing


def _normalized_entropy(stack: FloatArray, spectra: Sequence[Spectrum]) -> list[Estimate]:
    rank = stack.shape[-1]
    if rank == 1:
        return [unresolved("a spectrum of one value has no entropy to normalise")] * len(spectra)
    return each(spectral_entropy(stack) / math.log(rank))


def _top_share(stack: FloatArray, spectra: Sequence[Spectrum], *, k: int) -> list[Estimate]:
    rank = stack.shape[-1]
    if rank < k:
        few = unresolved(f"the first {k} eigenvalues were asked for, the spectrum has {rank}")
        return [few] * len(spectra)
    return each(stack[..., :k].sum(axis=-1) / _total(stack))


def _rank_at(stack: FloatArray, spectra: Sequence[Spectrum], *, share: float) -> list[Estimate]:
    crossings = directions_holding(stack, share)
    values = np.ceil(crossings[:, 0] - 1e-9).tolist()
    return [
        Estimate(value=value, per_row=own, details={"interpolated": interpolated})
        for value, own, interpolated in zip(values, crossings, crossings[:, 0].tolist(), strict=True)
    ]


RANKME_COV = Statistic(
    name="rankme_cov",
    title="RankMe of eigenvalues",
    short="RankMe",
    family=RANK,
    phrase="effective rank",
    unit="dimensions",
    summary="exp(-sum p ln p), p = eigenvalues over their sum: effective number of directions.",
    source="Tracing the Representation Geometry (arXiv 2509.23024)",
    measurements=(*_COVARIANCES, WEIGHTS, WEIGHT_UPDATES),
    function=at_once(effective_rank),
    compared=_COVARIANCES,
)
RANKME_SV = Statistic(
    name="rankme_sv",
    title="RankMe of singular values",
    short="RankMe\n(sv)",
    family=RANK,
    phrase="effective rank",
    unit="dimensions",
    summary="exp(-sum q ln q), q = singular values over their sum; not comparable with rankme_cov.",
    source="Garrido et al. 2023 (arXiv 2210.02885)",
    measurements=(GRADIENT_MATRIX, WEIGHTS, WEIGHT_UPDATES),
    function=at_once(lambda stack: effective_rank(np.sqrt(stack))),
    compared=(GRADIENT_MATRIX, WEIGHTS, WEIGHT_UPDATES),
)
PARTICIPATION_RATIO = Statistic(
    name="participation_ratio",
    title="participation ratio",
    short="participation\nratio",
    family=RANK,
    phrase="participation ratio",
    unit="dimensions",
    summary="(sum of eigenvalues)^2 / sum of squared eigenvalues.",
    measurements=_ALL,
    function=at_once(participation_ratio),
)
STABLE_RANK = Statistic(
    name="stable_rank",
    title="stable rank",
    short="stable\nrank",
    family=RANK,
    phrase="stable rank",
    unit="dimensions",
    summary="Sum of eigenvalues over the largest; of a matrix, squared Frobenius over spectral norm.",
    source="Rudelson and Vershynin 2007",
    measurements=_ALL,
    function=at_once(stable_rank),
    compared=(WEIGHTS, WEIGHT_UPDATES),
)


def _share_of_first(k: int, *, compared: tuple[str, ...] = ()) -> Statistic:
    words = "share of the first direction" if k == 1 else f"share of the first {k} directions"
    largest = "Largest eigenvalue" if k == 1 else f"Sum of the {k} largest eigenvalues"
    return Statistic(
        name=f"top{k}_share",
        title=words,
        short=f"top-{k}\nshare",
        family=SHARE,
        phrase=words,
        summary=f"{largest} over the sum of all.",
        measurements=_ALL,
        function=partial(_top_share, k=k),
        compared=compared,
    )


def _directions_with(percent: int) -> Statistic:
    return Statistic(
        name=f"rank_{percent}",
        title=f"directions with {percent} % of the variance",
        short=f"rank\n{percent} %",
        family=RANK,
        unit="dimensions",
        summary=(
            f"Fewest leading directions that hold {percent} % of the variance (standard error: interpolated)."
        ),
        measurements=_ALL,
        function=partial(_rank_at, share=percent / 100),
    )


TOP1_SHARE = _share_of_first(1, compared=_ALL)
TOP10_SHARE = _share_of_first(10, compared=_ALL)
TOP50_SHARE = _share_of_first(50)
RANK_90, RANK_99 = _directions_with(90), _directions_with(99)
SPECTRAL_ENTROPY_NORMALIZED = Statistic(
    name="spectral_entropy_normalized",
    title="normalised spectral entropy",
    short="spectral\nentropy",
    family=LEVEL,
    phrase="spectral entropy",
    summary="Entropy of the eigenvalues' shares over the log of their number: 1 if all are equal.",
    measurements=(*_COVARIANCES, WEIGHTS, WEIGHT_UPDATES),
    function=_normalized_entropy,
)
