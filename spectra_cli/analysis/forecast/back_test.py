"""How well a loss curve would have foretold the last part of its run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spectra_cli.analysis.forecast.loss_curve import FEWEST_POINTS, fit_loss_curve
from spectra_cli.core.types import FloatArray


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
