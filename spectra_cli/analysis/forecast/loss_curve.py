"""A single run's loss curve continued beyond its end, with and without a number of its spectrum.

    L(t) = E + A t^-b             and             L(t) = E + A t^-b + c x(t)

Huber's estimate, with neither E nor A below zero. x, known only up to now, is continued on the straight line
in log t that fits it. Intervals: studentised bootstrap of the residuals.

Source: of the form, J. Hoffmann et al. (arXiv 2203.15556), equation 2 with the data term alone; of the
estimate, P. Huber, "Robust Statistics" (1981), section 7.8; of the intervals, B. Efron and R. Tibshirani, "An
Introduction to the Bootstrap" (1993), sections 9.4 and 12.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spectra_cli.analysis.forecast.regression import Interval
from spectra_cli.core.types import FloatArray

FEWEST_POINTS = 5
EXPONENTS = np.geomspace(0.02, 2.0, 100)
REPLICATES = 400
FURTHEST = 1000.0
TIMES = np.geomspace(1.0, FURTHEST, 1000)
# Huber's constant: 95 % as efficient as least squares where the residuals are Gaussian.
_HUBER = 1.345
_ROUNDS = 10


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
        times = self.unit * TIMES
        return _first_at(target, times, self.at(times))


def _first_at(target: float, times: FloatArray, losses: FloatArray) -> float:
    """Where losses at ascending times first come down to the target, log-linear between; inf for never."""
    below = np.flatnonzero(losses <= target)
    if not below.size:
        return math.inf
    place = int(below[0])
    if place == 0:
        return float(times[0])
    high, low = losses[place - 1 : place + 1]
    share = (high - target) / (high - low)
    return float(times[place - 1] * (times[place] / times[place - 1]) ** share)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Continuation:
    """A fitted curve with its bootstrap: intervals as of Student's t, by how far replicates are off.

    Attributes:
        curve: the fit; spread: root mean square of its residuals over their degrees of freedom, nats.
        replicates, spreads: the same of fits to the curve with resampled residuals, every one of them; one
            that does not fall is flat, and never reaches a target below it.
        residuals: (n,) loss minus curve, scaled up for the degrees of freedom that the fit took.
    """

    curve: LossCurve
    spread: float
    replicates: tuple[LossCurve, ...]
    spreads: FloatArray
    residuals: FloatArray

    @property
    def autocorrelation(self) -> float:
        """Of residuals of neighbouring checkpoints; the bootstrap takes them for independent."""
        power = float(self.residuals @ self.residuals)
        return float(self.residuals[1:] @ self.residuals[:-1]) / power if power else 0.0

    def loss(self, tokens: float, *, level: float, seed: int = 0) -> Interval:
        """The loss measured at `tokens`: value, low, high of the `level` prediction interval."""
        where = np.array([tokens])
        noise = np.random.default_rng(seed).choice(self.residuals, len(self.replicates))
        low, high = self._band(where, level, noise[:, None])
        return Interval(float(self.curve.at(where)[0]), float(low[0]), float(high[0]))

    def tokens_to(self, target: float, *, level: float) -> Interval:
        """Tokens at which the curve reaches `target`: value, and where its band does; inf for never."""
        times = self.curve.unit * TIMES
        low, high = (_first_at(target, times, edge) for edge in self._band(times, level))
        return Interval(self.curve.reaches(target), low, high)

    def _band(
        self, tokens: FloatArray, level: float, noise: FloatArray | float = 0.0
    ) -> tuple[FloatArray, FloatArray]:
        """Low and high ends (n,) of the intervals of the curve, or of the losses around it."""
        value = self.curve.at(tokens)
        errors = noise - (np.array([curve.at(tokens) for curve in self.replicates]) - value)
        relative = errors / np.maximum(self.spreads, 1e-300)[:, None]
        low, high = np.quantile(relative, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return value + self.spread * low, value + self.spread * high


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
    family = _Family(tokens, covariate)
    curves, spreads = family.fit(losses[None, :])
    n, curve = len(tokens), curves[0]
    if n < family.fewest_points or curve.scale == 0:
        return None
    fitted = family.fitted(curve)
    residuals = (losses - fitted) * math.sqrt(n / (n - family.num_unknowns))
    draws = np.random.default_rng(seed).integers(0, n, (REPLICATES, n))
    replicates, their_spreads = family.fit(fitted + residuals[draws])
    return Continuation(
        curve=curve,
        spread=float(spreads[0]),
        replicates=tuple(replicates),
        spreads=their_spreads,
        residuals=residuals,
    )


def fit_loss_curve(
    tokens: FloatArray, losses: FloatArray, covariate: FloatArray | None = None
) -> LossCurve | None:
    """The curve alone; None as in `continue_curve`."""
    family = _Family(tokens, covariate)
    (curve,), _ = family.fit(losses[None, :])
    return curve if len(tokens) >= family.fewest_points and curve.scale > 0 else None


class _Family:
    """The curves over these tokens, fitted to many losses at once."""

    def __init__(self, tokens: FloatArray, covariate: FloatArray | None) -> None:
        self._unit = float(tokens[-1])
        self._time = tokens / self._unit
        self._covariate = covariate
        self._grid = _Bounded(self._design(EXPONENTS))
        self._drift = self._start = 0.0
        if covariate is not None:
            self._drift, self._start = map(float, np.polyfit(np.log(self._time), covariate, 1))

    @property
    def num_unknowns(self) -> int:
        """E, A, b, and c where there is a covariate."""
        return 3 + (self._covariate is not None)

    @property
    def fewest_points(self) -> int:
        """That a curve is fitted to."""
        return FEWEST_POINTS + (self._covariate is not None)

    def fit(self, losses: FloatArray) -> tuple[list[LossCurve], FloatArray]:
        """Huber's estimate for each row of losses (r, n), with the spread (r,) of its residuals.

        Least squares on losses that are pulled in to his limit around the curve, until they rest.
        """
        pulled, spare = losses, losses.shape[1] - self.num_unknowns
        for _ in range(_ROUNDS):
            exponents = self._exponents(pulled)
            design = self._design(exponents)
            solutions = _Bounded(design).solve(pulled[..., None])[0][..., 0]
            fitted = np.einsum("rnk,rk->rn", design, solutions)
            residuals = losses - fitted
            # a fit makes as many residuals small as it has unknowns
            sizes = np.sort(np.abs(residuals), axis=1)[:, -spare:]
            limit = _HUBER * 1.4826 * np.median(sizes, axis=1, keepdims=True)
            moved = fitted + np.clip(residuals, -limit, limit)
            if (np.abs(moved - pulled) <= 0.01 * limit).all():
                break
            pulled = moved
        curves = [self._curve(float(b), row) for b, row in zip(exponents, solutions, strict=True)]
        return curves, np.sqrt((residuals**2).sum(axis=1) / spare)

    def fitted(self, curve: LossCurve) -> FloatArray:
        """(n,) the curve with the covariate as it was measured."""
        coefficients = np.array([curve.floor, curve.scale, curve.slope])[: self.num_unknowns - 1]
        fitted: FloatArray = self._design(np.array([curve.exponent]))[0] @ coefficients
        return fitted

    def _design(self, exponents: FloatArray) -> FloatArray:
        """(exponents, n, k): a constant, t^-b, and the covariate."""
        falling = self._time ** -exponents[:, None]
        columns = [np.ones_like(falling), falling]
        if self._covariate is not None:
            columns.append(np.broadcast_to(self._covariate, falling.shape))
        return np.stack(columns, axis=-1)

    def _exponents(self, losses: FloatArray) -> FloatArray:
        """(r,) of the best curves: the lowest point of the parabola through the best of the grid."""
        errors = self._grid.solve(losses.T)[1]
        best = errors.argmin(axis=0).clip(1, len(EXPONENTS) - 2)
        before, here, after = (errors[best + step, np.arange(len(losses))] for step in (-1, 0, 1))
        bend = before - 2 * here + after
        shift = np.where(bend > 0, (before - after) / np.where(bend > 0, 2 * bend, 1.0), 0.0)
        step = math.log(EXPONENTS[1] / EXPONENTS[0])
        exponents: FloatArray = EXPONENTS[best] * np.exp(step * shift.clip(-1.0, 1.0))
        return exponents

    def _curve(self, exponent: float, solution: FloatArray) -> LossCurve:
        floor, scale, *slope = map(float, solution)
        return LossCurve(
            floor=floor,
            scale=scale,
            exponent=exponent,
            unit=self._unit,
            slope=slope[0] if slope else 0.0,
            start=self._start,
            drift=self._drift,
        )


class _Bounded:
    """Least squares with neither floor nor scale below zero, for designs (..., n, k).

    The problem is convex: its solution is the best of those that leave out the floor, the scale, both or
    none, among those that keep to the bounds.
    """

    def __init__(self, designs: FloatArray) -> None:
        self._num_columns = designs.shape[-1]
        others = list(range(2, self._num_columns))
        self._faces = []
        for kept in ([0, 1], [1], [0], []):
            if columns := kept + others:
                left, sizes, right = np.linalg.svd(designs[..., columns], full_matrices=False)
                known = sizes > 1e-10 * sizes[..., :1]
                inverse = np.where(known, 1.0 / np.where(known, sizes, 1.0), 0.0)
                back = np.swapaxes(right, -1, -2) * inverse[..., None, :]
                self._faces.append((columns, np.swapaxes(left * known[..., None, :], -1, -2), back))

    def solve(self, losses: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Solutions (..., k, r) and summed squared errors (..., r) for losses (..., n, r)."""
        power = (losses**2).sum(axis=-2)
        best, least = np.zeros(()), np.array(np.inf)
        for columns, project, back in self._faces:
            parts = project @ losses
            solution = np.zeros((*parts.shape[:-2], self._num_columns, parts.shape[-1]))
            solution[..., columns, :] = back @ parts
            keeps = (solution[..., :2, :] >= 0).all(axis=-2)
            errors = np.where(keeps, power - (parts**2).sum(axis=-2), np.inf)
            best = np.where((errors < least)[..., None, :], solution, best)
            least = np.minimum(errors, least)
        return best, least
