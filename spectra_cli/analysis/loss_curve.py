"""A single run's loss curve continued beyond its end, with and without a number of its spectrum.

    L(t) = E + A t^-b             and             L(t) = E + A t^-b + c x(t)

b from a grid, the rest by least squares with Huber's weights. x, known only up to now, is continued on the
straight line in log t that fits it. Intervals: moving-block bootstrap of the residuals.

Source: of the form, J. Hoffmann et al. (arXiv 2203.15556), equation 2 with the data term alone; of the
weights, P. Huber, "Robust estimation of a location parameter" (1964).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spectra_cli.core.types import FloatArray

FEWEST_POINTS = 5
EXPONENTS = np.geomspace(0.02, 2.0, 100)
REPLICATES = 400
FURTHEST = 1000.0
# Huber's constant: 95 % as efficient as least squares where the residuals are Gaussian.
_HUBER = 1.345
_ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """`floor + scale (t / unit)^-exponent + slope x(t)`, with `x(t) = start + drift log(t / unit)`.

    Attributes:
        floor: nats, not negative; scale: nats at `t = unit`.
        slope: nats for one unit of the covariate; 0 without one.
        start, drift: the line that continues the covariate.
        unit: tokens (or steps) of the last point of the fit.
    """

    floor: float
    scale: float
    exponent: float
    unit: float
    slope: float = 0.0
    start: float = 0.0
    drift: float = 0.0

    def at(self, tokens: FloatArray) -> FloatArray:
        """Loss at these tokens, the covariate continued."""
        time = tokens / self.unit
        continued = self.slope * (self.start + self.drift * np.log(time))
        loss: FloatArray = self.floor + self.scale * time**-self.exponent + continued
        return loss

    def reaches(self, target: float) -> float:
        """First tokens after `unit` at which the curve is at `target`; inf if not within `FURTHEST` times."""
        times = self.unit * np.geomspace(1.0, FURTHEST, 2000)
        below = np.flatnonzero(self.at(times) <= target)
        if not below.size:
            return math.inf
        place = int(below[0])
        if place == 0:
            return float(times[0])
        high, low = self.at(times[place - 1 : place + 1])
        share = (high - target) / (high - low)
        return float(times[place - 1] * (times[place] / times[place - 1]) ** share)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Continuation:
    """A fitted curve with its bootstrap.

    Attributes:
        curve: the fit.
        replicates: fits to the curve with resampled residuals.
        residuals: (n,) loss minus curve, scaled up for the degrees of freedom that the fit took.
    """

    curve: LossCurve
    replicates: tuple[LossCurve, ...]
    residuals: FloatArray

    @property
    def spread(self) -> float:
        """Root mean square of the residuals, in nats."""
        return math.sqrt(float((self.residuals**2).mean()))

    def loss(self, tokens: float, *, level: float, seed: int = 0) -> tuple[float, float, float]:
        """The loss measured at `tokens`: value, low, high of the `level` prediction interval."""
        where = np.array([tokens])
        value = float(self.curve.at(where)[0])
        noise = np.random.default_rng(seed).choice(self.residuals, len(self.replicates))
        fitted = np.array([float(curve.at(where)[0]) for curve in self.replicates])
        errors = noise - (fitted - value)
        low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
        return value, value + float(low), value + float(high)

    def tokens_to(self, target: float, *, level: float) -> tuple[float, float, float]:
        """Tokens at which the curve reaches `target`: value, and the percentile interval; inf for never."""
        found = np.sort([curve.reaches(target) for curve in self.replicates])
        last = len(found) - 1
        low, high = (found[round(last * share)] for share in ((1 - level) / 2, (1 + level) / 2))
        return self.curve.reaches(target), float(low), float(high)


def continue_curve(
    tokens: FloatArray, losses: FloatArray, covariate: FloatArray | None = None, *, seed: int = 0
) -> Continuation | None:
    """The loss curve through the points, ready to be continued.

    Args:
        tokens: (n,) positive, ascending.
        losses: (n,) nats, finite.
        covariate: (n,) such as a tail exponent, or None.
        seed: of the bootstrap.

    Returns:
        None with too few points, or where no curve that falls fits.
    """
    curve = fit_loss_curve(tokens, losses, covariate)
    if curve is None:
        return None
    residuals = losses - _fitted(curve, tokens, covariate)
    unknowns = 3 if covariate is None else 4
    n = len(tokens)
    residuals = (residuals - residuals.mean()) * math.sqrt(n / (n - unknowns))
    generator = np.random.default_rng(seed)
    drawn = residuals[_moving_blocks(n, generator)]
    basis = _Basis(tokens, covariate)
    exponents = np.sort(np.append(EXPONENTS, curve.exponent))
    weights = _huber_weights(residuals)
    replicates = basis.curves((losses - residuals)[:, None] + drawn, weights, exponents)
    fitting = tuple(replicate for replicate in replicates if replicate is not None)
    return Continuation(curve=curve, replicates=fitting or (curve,), residuals=residuals)


def fit_loss_curve(
    tokens: FloatArray, losses: FloatArray, covariate: FloatArray | None = None
) -> LossCurve | None:
    """The curve alone, by least squares reweighted until the weights rest; None as in `continue_curve`."""
    if len(tokens) < FEWEST_POINTS + (covariate is not None):
        return None
    basis = _Basis(tokens, covariate)
    weights, curve = np.ones(len(tokens)), None
    for _ in range(_ROUNDS):
        (coarse,) = basis.curves(losses[:, None], weights, EXPONENTS)
        if coarse is None:
            return None
        around = coarse.exponent * np.geomspace(0.95, 1.05, 41)
        (curve,) = basis.curves(losses[:, None], weights, around)
        if curve is None:
            return None
        updated = _huber_weights(losses - _fitted(curve, tokens, covariate))
        if np.abs(updated - weights).max() < 1e-3:
            break
        weights = updated
    return curve


class _Basis:
    """The columns of the regression for each exponent, and the continued covariate."""

    def __init__(self, tokens: FloatArray, covariate: FloatArray | None) -> None:
        self.unit = float(tokens[-1])
        self._time = tokens / self.unit
        self._covariate = covariate
        self._drift = self._start = 0.0
        if covariate is not None:
            self._drift, self._start = map(float, np.polyfit(np.log(self._time), covariate, 1))

    def curves(
        self, losses: FloatArray, weights: FloatArray, exponents: FloatArray
    ) -> list[LossCurve | None]:
        """The best falling curve for each column of losses (n, r); None where none falls."""
        columns = [np.ones((exponents.size, self._time.size)), self._time ** -exponents[:, None]]
        if self._covariate is not None:
            columns.append(np.broadcast_to(self._covariate, columns[0].shape))
        root = np.sqrt(weights)[:, None]
        design, response = np.stack(columns, axis=-1) * root, losses * root
        solutions, errors = _least_squares(design, response)
        without_floor, larger = _least_squares(design[..., 1:], response)
        negative = solutions[:, 0] < 0
        solutions[:, 0] = np.where(negative, 0.0, solutions[:, 0])
        solutions[:, 1:] = np.where(negative[:, None], without_floor, solutions[:, 1:])
        errors = np.where(solutions[:, 1] > 0, np.where(negative, larger, errors), np.inf)
        best = errors.argmin(axis=0)
        return [
            self._curve(float(exponents[place]), solutions[place, :, column])
            if np.isfinite(errors[place, column])
            else None
            for column, place in enumerate(best)
        ]

    def _curve(self, exponent: float, solution: FloatArray) -> LossCurve:
        return LossCurve(
            floor=float(solution[0]),
            scale=float(solution[1]),
            exponent=exponent,
            unit=self.unit,
            slope=float(solution[2]) if len(solution) > 2 else 0.0,
            start=float(self._start),
            drift=float(self._drift),
        )


def _least_squares(design: FloatArray, response: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solutions (g, k, r) and summed squared errors (g, r) of designs (g, n, k) for responses (n, r)."""
    solutions: FloatArray = np.linalg.pinv(design) @ response
    errors: FloatArray = ((response - design @ solutions) ** 2).sum(axis=1)
    return solutions, errors


def _fitted(curve: LossCurve, tokens: FloatArray, covariate: FloatArray | None) -> FloatArray:
    """The curve with the covariate as it was measured."""
    time = tokens / curve.unit
    fitted: FloatArray = curve.floor + curve.scale * time**-curve.exponent
    return fitted if covariate is None else fitted + curve.slope * covariate


def _huber_weights(residuals: FloatArray) -> FloatArray:
    sizes = np.abs(residuals)
    limit = _HUBER * 1.4826 * float(np.median(sizes))
    return np.minimum(1.0, limit / np.maximum(sizes, 1e-300)) if limit > 0 else np.ones_like(sizes)


def _moving_blocks(n: int, generator: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(n, REPLICATES) places: runs of about n^(1/3) neighbours, around the end, drawn with replacement."""
    length = max(1, round(n ** (1 / 3)))
    starts = generator.integers(0, n, (math.ceil(n / length), 1, REPLICATES))
    places = (starts + np.arange(length)[None, :, None]) % n
    return places.reshape(-1, REPLICATES)[:n]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackTest:
    """What the curve would have said of the last part, from the first part alone.

    Attributes:
        num_fitted, num_held: points of both parts.
        last_fitted, last: tokens at their ends.
        curve, with_covariate, unchanged: root mean square errors in nats over the held part: of the curve,
            of the curve with the covariate, and of the last fitted loss kept. NaN where there is no fit.
    """

    num_fitted: int
    num_held: int
    last_fitted: float
    last: float
    curve: float
    with_covariate: float
    unchanged: float


def back_test(
    tokens: FloatArray, losses: FloatArray, covariate: FloatArray | None = None, *, share: float = 0.7
) -> BackTest | None:
    """Errors of curves fitted to the first `share` of the points on the points after them.

    Returns:
        None where the first part has fewer than `FEWEST_POINTS` points, or the rest fewer than two.
    """
    first = int(share * len(tokens))
    if first < FEWEST_POINTS or len(tokens) - first < 2:
        return None

    def error(given: FloatArray | None) -> float:
        curve = fit_loss_curve(tokens[:first], losses[:first], None if given is None else given[:first])
        return math.nan if curve is None else _root_mean_square(losses[first:] - curve.at(tokens[first:]))

    return BackTest(
        num_fitted=first,
        num_held=len(tokens) - first,
        last_fitted=float(tokens[first - 1]),
        last=float(tokens[-1]),
        curve=error(None),
        with_covariate=math.nan if covariate is None else error(covariate),
        unchanged=_root_mean_square(losses[first:] - losses[first - 1]),
    )


def _root_mean_square(values: FloatArray) -> float:
    return math.sqrt(float((values**2).mean()))
