"""What a predictor adds to the baselines: leave-one-out errors side by side.

See docs/how-to/forecast-tokens.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spectra_cli.analysis.forecast.regression import leave_one_out, within
from spectra_cli.core.types import FloatArray

MEAN = "mean"
SPECTRUM = "spectrum"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorError:
    """How well a set of features predicts runs that the fit has not seen.

    Attributes:
        name: `mean`, a baseline's name, `spectrum`, or `spectrum + ` a baseline's name.
        predictive: Q^2 as in `forecasting.LeftOut`; NaN where the runs do not determine the fit.
        error: root mean square of the left-out residuals, in the response's unit.
        reason: why there is no number; empty where there is one.
        residuals: left-out, one a run; empty without a number.
    """

    name: str
    predictive: float
    error: float
    reason: str = ""
    residuals: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The headline: Q^2 of the best baseline with the spectrum, less Q^2 of that baseline.

    Attributes:
        baseline: the best of those that could be fitted with and without the spectrum.
        without, with_spectrum: Q^2; `value`: their difference, NaN where none could be fitted.
        stderr: of the difference, jackknife over the runs that were forecast; NaN without a difference.
    """

    baseline: str
    without: float
    with_spectrum: float
    stderr: float = math.nan

    @property
    def value(self) -> float:
        """Above zero where the spectrum helps."""
        return self.with_spectrum - self.without


def compare_predictors(
    predictor: FloatArray,
    response: FloatArray,
    families: Sequence[str],
    baselines: Mapping[str, FloatArray],
) -> tuple[PredictorError, ...]:
    """Leave-one-out errors of the family mean, the baselines, the predictor, and the predictor with each.

    Args:
        predictor, response: (n,), finite.
        families: (n,).
        baselines: name -> (n, k) features.
    """
    column = predictor[:, None]
    features = {
        MEAN: np.empty((len(response), 0)),
        **baselines,
        SPECTRUM: column,
        **{_joined(name): np.hstack([column, values]) for name, values in baselines.items()},
    }
    return tuple(_error(name, values, response, families) for name, values in features.items())


def gain(errors: Sequence[PredictorError]) -> Gain:
    """What the spectrum adds to the best baseline, the mean included."""
    found = {error.name: error.predictive for error in errors}
    pairs = [
        Gain(baseline=name, without=found[name], with_spectrum=found[_joined(name)])
        for name in found
        if _joined(name) in found and name != SPECTRUM
    ]
    usable = [pair for pair in pairs if math.isfinite(pair.value)]
    if not usable:
        return Gain(baseline=MEAN, without=math.nan, with_spectrum=math.nan)
    best = max(usable, key=lambda pair: pair.without)
    residuals = {error.name: np.array(error.residuals) for error in errors}
    stderr = _gain_stderr(residuals[best.baseline], residuals[_joined(best.baseline)], residuals[MEAN])
    return replace(best, stderr=stderr)


def _gain_stderr(without: FloatArray, with_spectrum: FloatArray, mean: FloatArray) -> float:
    """Of `(sum without^2 - sum with^2) / sum mean^2`, jackknife over its terms; residuals are (n,)."""
    lowered, null = without**2 - with_spectrum**2, mean**2
    n = len(null)
    remaining = null.sum() - null
    if not (remaining > 0).all():
        return math.nan
    gains = (lowered.sum() - lowered) / remaining
    return math.sqrt((n - 1) / n * float(((gains - gains.mean()) ** 2).sum()))


def leave_one_family_out(predictor: FloatArray, response: FloatArray, families: Sequence[str]) -> float:
    """Q^2 of each family's deviations from its own mean under the slope of the *other* families.

    Needs three families or more; NaN otherwise, and where the predictor does not vary.
    """
    names = np.array(families)
    if len(set(families)) < 3:
        return math.nan
    x, y = within(predictor, families), within(response, families)
    left = 0.0
    for name in dict.fromkeys(families):
        others = names != name
        power = float(x[others] @ x[others])
        if power == 0.0:
            return math.nan
        slope = float(x[others] @ y[others]) / power
        left += float(((y - slope * x)[~others] ** 2).sum())
    total = float(y @ y)
    return 1.0 - left / total if total else math.nan


def _joined(name: str) -> str:
    return SPECTRUM if name == MEAN else f"{SPECTRUM} + {name}"


def _error(name: str, features: FloatArray, response: FloatArray, families: Sequence[str]) -> PredictorError:
    fit = leave_one_out(features, response, families)
    if fit is None:
        count = f"{len(response)} runs in {len(set(families))} families"
        return PredictorError(
            name=name,
            predictive=math.nan,
            error=math.nan,
            reason=f"{count} do not determine {features.shape[1]} slopes with one run left out",
        )
    error = math.sqrt(float(fit.residuals @ fit.residuals) / len(response))
    residuals = tuple(fit.residuals.tolist())
    return PredictorError(name=name, predictive=fit.predictive, error=error, residuals=residuals)
