"""Rank-decay exponents over named windows, and whether the samples suffice for them.

Every exponent is one of eigenvalues. A window that does not fit is `unresolved`: it is never clipped.
See docs/explanation/estimators.md; A. Clauset, C. Shalizi and M. Newman (2009) on what R^2 cannot show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

import numpy as np

from spectra_cli.core.measurements import ACTIVATIONS, GRADIENT_MATRIX, GRADIENTS, WEIGHTS
from spectra_cli.core.types import FloatArray, Spectrum, SpectrumKind, Status
from spectra_cli.core.words.plurals import counted
from spectra_cli.statistics.jackknife import standard_error
from spectra_cli.statistics.rank_decay import fit_details, rank_decay_exponent, window
from spectra_cli.statistics.statistic import (
    DECAY_EXPONENT,
    SIZE,
    Deferred,
    Estimate,
    Statistic,
    eigenvalue_threshold,
    never,
    of_rows,
    one_by_one,
    unresolved,
)

_GRADIENT_SPECTRA = (GRADIENTS, GRADIENT_MATRIX)
_MIN_GRADIENT_SAMPLES = 64
_HEAD_POINTS = 8
_TAIL_POINTS = 20
# Effective rows of activations per dimension: the fewest for a tail, and those that leave no bias.
ROWS_FOR_A_TAIL, ROWS_WITHOUT_BIAS = 4, 16
_FLAT = 0.7  # below this exponent the bias by finite samples needs four times as many of them
# From this width on ranks 30-150 are a tail.
WIDTH_OF_30_150 = 600


def scaled_window(width: int) -> tuple[int, int]:
    """The window 30..150 of width 768, at the same relative ranks of another width.

    >>> scaled_window(768), scaled_window(1600), scaled_window(128)
    ((30, 150), (62, 312), (11, 33))
    """
    lo = max(11, round(30 * width / 768))
    return lo, max(3 * lo, round(150 * width / 768))


def sample_scaled_window(num_samples: int) -> tuple[int, int]:
    """ceil(0.06 n)..floor(0.3 n): the same relative ranks at every number of samples.

    >>> sample_scaled_window(512)
    (31, 153)
    """
    return -(-6 * num_samples // 100), 3 * num_samples // 10


def samples_for_tail() -> int:
    """The fewest gradient samples whose own window has ranks enough for a tail exponent.

    >>> samples_for_tail()
    80
    """
    windows = ((n, *sample_scaled_window(n)) for n in count(_MIN_GRADIENT_SAMPLES))
    return next(n for n, lo, hi in windows if hi - lo + 1 >= _TAIL_POINTS and hi >= 3 * lo)


def _misfit(spectrum: Spectrum, lo: int, hi: int, *, tail: bool) -> str:
    """Why ranks lo..hi cannot be fitted here; empty if they can."""
    rank, num_samples, ratio = spectrum.values.size, spectrum.num_samples, hi / max(lo, 1)
    num_points, at_least = hi - lo + 1, _TAIL_POINTS if tail else _HEAD_POINTS
    gradients = spectrum.measurement in _GRADIENT_SPECTRA
    if gradients and num_samples < _MIN_GRADIENT_SAMPLES:
        return f"{num_samples} gradient samples, at least {_MIN_GRADIENT_SAMPLES} are needed for an exponent"
    if num_points < at_least or (tail and ratio < 3):
        scaled = tail and gradients and (lo, hi) == sample_scaled_window(num_samples)
        enough = f"; {samples_for_tail()} gradient samples would be enough" if scaled else ""
        return (
            f"ranks {lo}-{hi} are {counted(num_points, 'point')} and a ratio of {ratio:.1f}; "
            f"at least {at_least}{' and a ratio of 3' if tail else ''} are needed{enough}"
        )
    if hi > rank:
        return f"ranks {lo}-{hi} do not fit a spectrum of {rank} values"
    if gradients and tail and 3 * hi > num_samples:
        return f"ranks {lo}-{hi} need at least {3 * hi} gradient samples, there are {num_samples}"
    if spectrum.values[hi - 1] <= spectrum.zero_threshold:
        num_above = rank - spectrum.num_zero
        return f"ranks {lo}-{hi} reach beyond the {counted(num_above, 'value')} above numerical zero"
    return ""


_Window = tuple[int, int]
_Windows = Callable[[Spectrum], _Window]


def _fits(
    stack: FloatArray, spectra: Sequence[Spectrum], *, over: _Windows, tail: bool = False
) -> list[Estimate]:
    """The exponent of each spectrum over its own window."""
    found: dict[int, Estimate] = {}
    alike: dict[_Window, list[int]] = {}
    for place, spectrum in enumerate(spectra):
        lo, hi = over(spectrum)
        if reason := _misfit(spectrum, lo, hi, tail=tail):
            found[place] = unresolved(reason, {"window_lo": float(lo), "window_hi": float(hi)})
        else:
            alike.setdefault((lo, hi), []).append(place)
    for (lo, hi), places in alike.items():
        of_all = len(places) == len(spectra)
        thresholds = np.array([eigenvalue_threshold(spectra[place]) for place in places])
        per_row = rank_decay_exponent(
            stack if of_all else stack[places], lo, hi, threshold=thresholds[:, None]
        )
        for place, own in zip(places, per_row, strict=True):
            details = partial(_details, stack[place, 0], spectra[place], lo, hi, float(own[0]))
            found[place] = of_rows(own, Deferred(details))
    return [found[place] for place in range(len(spectra))]


def _details(
    eigenvalues: FloatArray, spectrum: Spectrum, lo: int, hi: int, exponent: float
) -> dict[str, float]:
    found = fit_details(eigenvalues, lo, hi, threshold=eigenvalue_threshold(spectrum))
    if spectrum.measurement != WEIGHTS:
        found["stderr_if_independent"] = math.sqrt(2 / (spectrum.num_samples * window(lo, hi).sxx))
    if spectrum.kind is SpectrumKind.SINGULAR_VALUES:
        found["singular_value_exponent"] = exponent / 2
    return found


def effective_samples(stderr: float, lo: int, hi: int, num_samples: int) -> float:
    """Independent Gaussian rows whose exponent would scatter as this one: `min(n, 2 / (SE^2 S_xx))`.

    >>> round(effective_samples(0.0026, 30, 150, 40_000))
    12557
    """
    if math.isnan(stderr) or stderr == 0:
        return float(num_samples)
    return min(float(num_samples), 2 / (stderr**2 * window(lo, hi).sxx))


def _judged_by_samples(fit: Estimate, spectrum: Spectrum, lo: int, hi: int) -> Estimate:
    """The tail fit of an activation spectrum with the standing that its samples allow."""
    if not fit.status.has_value:
        return fit
    width, stderr = spectrum.ambient_dim, standard_error(fit.per_row, spectrum.block_sizes)
    effective = effective_samples(stderr, lo, hi, spectrum.num_samples)
    ratio = effective / width
    sampling = {
        "n_eff": effective,
        "n_eff_over_d": ratio,
        "d_over_n": width / spectrum.num_samples,
    }
    details = Deferred(lambda: {**fit.details, **sampling})
    needed = 4 * ROWS_WITHOUT_BIAS if fit.value < _FLAT else ROWS_WITHOUT_BIAS
    if ratio < ROWS_FOR_A_TAIL:
        fewer = _fewer(ratio, ROWS_FOR_A_TAIL)
        reason = f"{fewer} effective rows per dimension, at least {ROWS_FOR_A_TAIL} are needed"
        return unresolved(f"{reason}; {_enough(ROWS_FOR_A_TAIL / ratio)}", details)
    reason = ""
    if ratio < needed:
        reason = (
            f"{_fewer(ratio, needed)} effective rows per dimension, {needed} are needed to neglect the bias; "
            f"{_enough(needed / ratio)}"
        )
    elif math.isnan(stderr):
        reason = "no standard error, so that correlated rows may have been counted as independent"
    status = Status.PARTIAL if reason else Status.OK
    return Estimate(value=fit.value, per_row=fit.per_row, status=status, reason=reason, details=details)


def _enough(times: float) -> str:
    """How many more sequences would do: effective rows grow as they do, whatever their length."""
    return f"about {_rounded_up(times)} times as many sequences would be enough"


def _rounded_up(number: float) -> int:
    """A whole number of two digits and zeros, not below `number`.

    >>> _rounded_up(1.5), _rounded_up(13.2), _rounded_up(131), _rounded_up(130)
    (2, 14, 140, 130)
    """
    unit = float(10 ** max(0, math.ceil(math.log10(max(number, 1))) - 2))
    return math.ceil(number / unit) * int(unit)


def _fewer(ratio: float, needed: int) -> str:
    """Two digits of a ratio, or as many more as show that it is below what is needed.

    >>> _fewer(0.0312, 4), _fewer(3.96, 4), _fewer(3.996, 4), _fewer(12.3, 16)
    ('0.031', '3.96', '3.996', '12')
    """
    return next(text for digits in range(2, 18) if float(text := f"{ratio:.{digits}g}") < needed)


def _ranks(lo: int, hi: int) -> _Windows:
    """The same window for every spectrum."""
    return lambda _: (lo, hi)


def _tails(stack: FloatArray, spectra: Sequence[Spectrum], *, over: _Windows) -> list[Estimate]:
    fits = _fits(stack, spectra, over=over, tail=True)
    return [
        _judged_by_samples(fit, spectrum, *over(spectrum)) if spectrum.measurement == ACTIVATIONS else fit
        for fit, spectrum in zip(fits, spectra, strict=True)
    ]


def _scaled_tail(stack: FloatArray, spectra: Sequence[Spectrum]) -> list[Estimate]:
    fits = _tails(stack, spectra, over=lambda spectrum: scaled_window(spectrum.ambient_dim))
    return [_too_wide(spectrum) or fit for fit, spectrum in zip(fits, spectra, strict=True)]


def _too_wide(spectrum: Spectrum) -> Estimate | None:
    lo, hi = scaled_window(spectrum.ambient_dim)
    # hi <= n_eff / 4 (docs/explanation/estimators.md) follows: n_eff >= 4 width is asked of every tail.
    if hi <= 0.6 * spectrum.ambient_dim:
        return None
    reason = f"ranks {lo}-{hi} are more than 0.6 of the {spectrum.ambient_dim} dimensions"
    return unresolved(reason, {"window_lo": float(lo), "window_hi": float(hi)})


def _effective_samples_per_dimension(rows: FloatArray, spectrum: Spectrum) -> Estimate:
    width = spectrum.ambient_dim
    lo, hi = (30, 150) if width >= WIDTH_OF_30_150 else scaled_window(width)
    details = {"window_lo": float(lo), "window_hi": float(hi)}
    if reason := _misfit(spectrum, lo, hi, tail=True):
        return unresolved(f"the tail exponent that it is read from is unresolved: {reason}", details)
    per_row = rank_decay_exponent(rows, lo, hi, threshold=eigenvalue_threshold(spectrum))
    stderr = standard_error(per_row, spectrum.block_sizes)
    value = effective_samples(stderr, lo, hi, spectrum.num_samples) / width
    if math.isnan(stderr):
        reason = "an upper limit: without a standard error all rows count as independent"
        return Estimate(value=value, status=Status.PARTIAL, reason=reason, details=details)
    # A variance from B blocks has B - 1 degrees of freedom.
    details["relative_stderr"] = math.sqrt(2 / (len(spectrum.block_sizes) - 1))
    return Estimate(value=value, details=details)


def _shows_30_150(spectrum: Spectrum) -> bool:
    if spectrum.measurement == ACTIVATIONS:
        return spectrum.ambient_dim >= WIDTH_OF_30_150
    return not _misfit(spectrum, 30, 150, tail=True)


_exponent = partial(Statistic, family=DECAY_EXPONENT)
HEAD_EXPONENT_1_10 = _exponent(
    name="head_exponent_1_10",
    title="head exponent, ranks 1-10",
    short="α head\n1-10",
    phrase="head",
    summary="Exponent a of eigenvalues ~ rank^-a over ranks 1-10; doubling the first alone adds 0.22.",
    source="Spectral Lens (arXiv 2605.05683)",
    measurements=(ACTIVATIONS, *_GRADIENT_SPECTRA),
    function=partial(_fits, over=_ranks(1, 10)),
    compared=(ACTIVATIONS, *_GRADIENT_SPECTRA),
)
HEAD_EXPONENT_2_10 = _exponent(
    name="head_exponent_2_10",
    title="head exponent, ranks 2-10",
    short="α head\n2-10",
    phrase="head without its first direction",
    summary="Exponent a of eigenvalues ~ rank^-a over ranks 2-10: the head without its first direction.",
    source="docs/explanation/estimators.md, exponents",
    measurements=(ACTIVATIONS, *_GRADIENT_SPECTRA),
    function=partial(_fits, over=_ranks(2, 10)),
    compared=(ACTIVATIONS, *_GRADIENT_SPECTRA),
)
TAIL_EXPONENT_30_150 = _exponent(
    name="tail_exponent_30_150",
    title="tail exponent, ranks 30-150",
    short="α tail\n30-150",
    phrase="tail",
    summary="Exponent a of eigenvalues ~ rank^-a over ranks 30-150, the paper's on language models.",
    source="Spectral Lens (arXiv 2605.05683)",
    measurements=(ACTIVATIONS, *_GRADIENT_SPECTRA, WEIGHTS),
    function=partial(_tails, over=_ranks(30, 150)),
    by_default=_shows_30_150,
    compared=(ACTIVATIONS,),
)
TAIL_EXPONENT_50_200 = _exponent(
    name="tail_exponent_50_200",
    title="tail exponent, ranks 50-200",
    short="α tail\n50-200",
    phrase="tail",
    summary="Exponent a of eigenvalues ~ rank^-a over ranks 50-200, the paper's on its toy task.",
    source="Spectral Lens (arXiv 2605.05683)",
    measurements=(ACTIVATIONS, *_GRADIENT_SPECTRA, WEIGHTS),
    function=partial(_tails, over=_ranks(50, 200)),
    by_default=never,
)
TAIL_EXPONENT_SCALED = _exponent(
    name="tail_exponent_scaled",
    title="tail exponent, scaled by width",
    short="α tail\nscaled",
    phrase="tail",
    summary="Exponent a of eigenvalues ~ rank^-a over ranks 30-150 of width 768, scaled to this width.",
    source="docs/explanation/estimators.md, exponents",
    measurements=(ACTIVATIONS,),
    function=_scaled_tail,
    compared=(ACTIVATIONS,),
    scaled_by_width=True,
)
TAIL_EXPONENT_SAMPLE_SCALED = _exponent(
    name="tail_exponent_sample_scaled",
    title="tail exponent, scaled by samples",
    short="α tail\nscaled n",
    phrase="tail",
    summary="Exponent a of eigenvalues ~ rank^-a over ranks 0.06 n to 0.3 n of n gradient samples.",
    source="docs/explanation/estimators.md, exponents",
    measurements=_GRADIENT_SPECTRA,
    function=partial(_tails, over=lambda spectrum: sample_scaled_window(spectrum.num_samples)),
    compared=_GRADIENT_SPECTRA,
)
N_EFF_OVER_D = Statistic(
    name="n_eff_over_d",
    title="effective rows per dimension",
    short="n_eff\n/ d",
    family=SIZE,
    summary=(
        "min(n, 2 / (SE^2 S_xx)) / d: independent Gaussian rows that would scatter the tail exponent "
        "as much as the correlated tokens do. From 16 on (64 for exponents below 0.7) its bias is negligible."
    ),
    source="docs/explanation/estimators.md, exponents",
    measurements=(ACTIVATIONS,),
    function=one_by_one(_effective_samples_per_dimension),
)
