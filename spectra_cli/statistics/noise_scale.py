"""Gradient noise scale: how many sequences a batch needs before its mean gradient beats the noise.

    B_simple = tr(Sigma) / |G|^2

Both come without bias from the Gram matrix of per-sequence gradients; their ratio is taken once, of
sums, never averaged over ratios. Source: McCandlish et al. 2018 (arXiv 1812.06162), eq. 2.9;
docs/explanation/estimators.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from spectra_cli.core.measurements import GRADIENTS
from spectra_cli.core.types import FloatArray, Scalar, Site, StatisticValue, Status
from spectra_cli.core.words.plurals import agreed
from spectra_cli.statistics.jackknife import standard_error
from spectra_cli.statistics.statistic import SCALE, Definition

SIGNAL = "gradient_signal"
NOISE = "gradient_noise"

GRADIENT_NOISE_SCALE = Definition(
    name="gradient_noise_scale",
    title="gradient noise scale",
    short="noise scale",
    family=SCALE,
    phrase="noise scale",
    unit="sequences",
    summary=(
        "Trace of the gradient covariance over the squared mean gradient, in sequences: far smaller "
        "batches are mostly noise, far larger ones waste. Standard error: that of its log, times itself."
    ),
    source="McCandlish et al. 2018 (arXiv 1812.06162)",
)

_Pair = tuple[Scalar, Scalar]


def noise_scales(scalars: Iterable[Scalar], *, step: int | None) -> tuple[StatisticValue, ...]:
    """The noise scale of each matrix, then of all together (site None).

    Args:
        scalars: among others, `gradient_signal` (|G|^2, unbiased, may be negative) and
            `gradient_noise` (tr Sigma) of each site, with delete-one-block replicates.
        step: of the checkpoint.

    Returns:
        Nothing where no site has both.
    """
    found: dict[str, dict[str, Scalar]] = defaultdict(dict)
    for scalar in scalars:
        if scalar.name in (SIGNAL, NOISE) and scalar.site is not None:
            found[scalar.site.address][scalar.name] = scalar
    pairs = [(both[SIGNAL], both[NOISE]) for both in found.values() if len(both) == 2]
    if not pairs:
        return ()
    return (*(_noise_scale([pair], pair[0].site, step) for pair in pairs), _noise_scale(pairs, None, step))


def _noise_scale(pairs: Sequence[_Pair], site: Site | None, step: int | None) -> StatisticValue:
    """Sum of noises over sum of signals, over the pairs that were measured."""
    measured = [pair for pair in pairs if all(s.status.has_value for s in pair)]
    # A matrix with zero gradients adds nothing to either sum; any other gap leaves something out.
    missing = [pair for pair in pairs if pair not in measured and Status.ZERO not in _statuses(pair)]
    details = {"num_matrices": float(len(measured))}
    value, stderr, status, reason = math.nan, math.nan, Status.OK, ""
    if not measured:
        status = _statuses(missing[0])[0] if missing else Status.ZERO
        reason = "no matrix has a finite, non-zero gradient"
    else:
        signal, noise = _total([s for s, _ in measured]), _total([n for _, n in measured])
        if signal[0] == 0 and noise[0] == 0:
            status, reason = Status.ZERO, "every gradient is exactly zero"
        elif signal[0] <= 0:
            status = Status.UNRESOLVED
            reason = (
                f"the squared mean gradient is estimated as {signal[0]:.2e}: "
                "the samples are too few to tell it from zero"
            )
        else:
            value = float(noise[0] / signal[0])
            details["log_stderr"] = standard_error(np.log(_ratio(noise, signal)), measured[0][0].block_sizes)
            stderr = value * details["log_stderr"]
            if missing:
                status = Status.PARTIAL
                reason = (
                    f"{len(missing)} of {len(pairs)} matrices "
                    f"{agreed(len(missing), 'was', 'were')} not measured"
                )
    return StatisticValue(
        name=GRADIENT_NOISE_SCALE.name,
        measurement=GRADIENTS,
        site=site,
        step=step,
        value=value,
        stderr=stderr,
        status=status,
        unit=GRADIENT_NOISE_SCALE.unit,
        reason=reason,
        details=details,
    )


def noise_scale_rows(signal: Scalar, noise: Scalar) -> FloatArray:
    """(1 + B,) noise scale of one matrix on the whole probe, then without each block; NaN where undefined."""
    return _ratio(_total([noise]), _total([signal]))


def _ratio(noise: FloatArray, signal: FloatArray) -> FloatArray:
    positive = (signal > 0) & (noise > 0)
    ratio: FloatArray = np.divide(noise, signal, out=np.full_like(signal, np.nan), where=positive)
    return ratio


def _statuses(pair: _Pair) -> list[Status]:
    return [scalar.status for scalar in pair if not scalar.status.has_value]


def _total(scalars: Sequence[Scalar]) -> FloatArray:
    """(1 + B,) sum of the values, then of each replicate; (1,) unless all have the same blocks."""
    values = np.array([sum(s.value for s in scalars)])
    if len({s.block_sizes for s in scalars}) > 1:
        return values
    replicates: FloatArray = np.sum([s.delete_one_block for s in scalars], axis=0)
    return np.concatenate([values, replicates])
