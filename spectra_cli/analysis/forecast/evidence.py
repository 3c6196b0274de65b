"""Does the early number forecast the tokens? Everything that is said about it, from one row a run.

See docs/how-to/forecast-tokens.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spectra_cli.analysis.forecast.association import (
    kendall,
    partial_rank_correlation,
    pearson,
    reliability,
)
from spectra_cli.analysis.forecast.predictors import (
    Gain,
    PredictorError,
    compare_predictors,
    gain,
    leave_one_family_out,
)
from spectra_cli.analysis.forecast.regression import (
    Interval,
    RankCorrelation,
    leave_one_out,
    prediction_interval,
    rank_correlation,
    within,
)
from spectra_cli.core.types import FloatArray

FEWEST_RUNS = 5
# Specs F2: at least so many in one family, or pooled over families.
ENOUGH_IN_A_FAMILY = 6
ENOUGH_POOLED = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunTable:
    """One row a run.

    Attributes:
        predictor, stderrs: (n,) the early number.
        response: (n,) log of tokens (or steps) to the target; infinity where it was not reached.
        families: (n,) at least two runs in each.
        baselines: name -> (n, k) features that need no spectrum.
    """

    predictor: FloatArray
    stderrs: FloatArray
    response: FloatArray
    families: tuple[str, ...]
    baselines: Mapping[str, FloatArray]

    def finite(self) -> RunTable:
        """The runs that reached the target, of families with two such runs."""
        reached = np.isfinite(self.response)
        names = np.array(self.families)
        counts = {name: int(reached[names == name].sum()) for name in set(self.families)}
        keep = reached & np.array([counts[name] > 1 for name in self.families], dtype=bool)
        return RunTable(
            predictor=self.predictor[keep],
            stderrs=self.stderrs[keep],
            response=self.response[keep],
            families=tuple(names[keep].tolist()),
            baselines={name: values[keep] for name, values in self.baselines.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Of log tokens on the predictor.

    Attributes:
        value, stderr: jackknife over runs.
        reliability: share of the predictor's variance that is not its own noise, by which the noise
            shrinks the slope; NaN without standard errors.
    """

    value: float
    stderr: float
    reliability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastEvidence:
    """What the runs say about the predictor.

    Attributes:
        num_runs, num_families: in the ranks; num_fitted: in the regressions, which leave out censored runs.
        rank: Spearman; its p-value is NaN below `FEWEST_RUNS` runs.
        smallest_p: the smallest p-value that so many runs can have.
        kendall, partial_rank: the latter given all baselines, NaN where they leave nothing.
        linear: Pearson on log tokens.
        slope: None where the runs do not determine it.
        errors: leave-one-out, one a predictor; empty below `FEWEST_RUNS` runs.
        gain: over the best baseline.
        family_left_out: Q^2 with the slope of the other families; NaN with fewer than three.
        why_less: why there is only a correlation; empty where there is all.
    """

    num_runs: int
    num_families: int
    num_fitted: int
    rank: RankCorrelation
    smallest_p: float
    kendall: float
    partial_rank: float
    linear: Interval
    slope: Slope | None
    errors: tuple[PredictorError, ...]
    gain: Gain | None
    family_left_out: float
    why_less: str


def weigh(table: RunTable) -> ForecastEvidence:
    """All that is known of the predictor from these runs; at least two are needed."""
    few = why_only_a_correlation(table)
    rank = rank_correlation(table.predictor, table.response, table.families)
    if len(table.response) < FEWEST_RUNS:
        rank = RankCorrelation(value=rank.value, p_value=math.nan, exact=rank.exact)
    fitted = table.finite()
    errors: tuple[PredictorError, ...] = ()
    if not few:
        errors = compare_predictors(
            fitted.predictor, fitted.response, fitted.families, usable_baselines(fitted)
        )
    controls = usable_baselines(table)
    known = np.hstack(list(controls.values())[-1:] or [np.empty((len(table.response), 0))])
    return ForecastEvidence(
        num_runs=len(table.response),
        num_families=len(set(table.families)),
        num_fitted=len(fitted.response),
        rank=rank,
        smallest_p=smallest_p(table.families),
        kendall=kendall(table.predictor, table.response, table.families),
        partial_rank=partial_rank_correlation(table.predictor, table.response, known, table.families)
        if known.size
        else math.nan,
        linear=pearson(fitted.predictor, fitted.response, fitted.families),
        slope=None if few else _slope(fitted),
        errors=errors,
        gain=gain(errors) if errors else None,
        family_left_out=leave_one_family_out(fitted.predictor, fitted.response, fitted.families)
        if not few
        else math.nan,
        why_less=few,
    )


def why_only_a_correlation(table: RunTable) -> str:
    """Why nothing can be predicted from so few runs; empty where it can."""
    n, fitted = len(table.response), len(table.finite().response)
    if fitted >= FEWEST_RUNS:
        return ""
    told = f"{n} runs" if fitted == n else f"{fitted} of {n} runs reached the target"
    if n < FEWEST_RUNS:
        smallest = smallest_p(table.families)
        return (
            f"{told}: correlation only. No ordering of so few has a p-value below {smallest:.2g}, and a line "
            f"fitted without one of them has next to no residuals to be judged by; {FEWEST_RUNS} are needed"
        )
    return f"{told}: ranks only. A regression needs {FEWEST_RUNS} that did"


def smallest_p(families: Sequence[str]) -> float:
    """The two-sided p-value of a perfect ranking: 2 over the number of orderings inside families.

    >>> [round(smallest_p(["a"] * n), 4) for n in (4, 5, 6)]
    [0.0833, 0.0167, 0.0028]
    """
    counts = (list(families).count(name) for name in set(families))
    return min(1.0, 2.0 / math.prod(math.factorial(count) for count in counts))


def usable_baselines(table: RunTable) -> dict[str, FloatArray]:
    """The baselines that vary inside families, each without columns that depend on those before them.

    A joint baseline is called after the columns it keeps, and goes where another one has the same.
    """
    found: dict[str, FloatArray] = {}
    for name, features in table.baselines.items():
        centred = np.column_stack([within(column, table.families) for column in features.T])
        kept: list[int] = []
        for column in range(features.shape[1]):
            if np.linalg.matrix_rank(_scaled(centred[:, [*kept, column]])) > len(kept):
                kept.append(column)
        parts = name.split(" + ")
        named = " + ".join(parts[column] for column in kept) if len(parts) == features.shape[1] else name
        if kept and named not in found:
            found[named] = features[:, kept]
    return found


def _scaled(columns: FloatArray) -> FloatArray:
    """Columns of length one; what is constant but for rounding becomes zero."""
    sizes = np.abs(columns).max(axis=0)
    return np.where(sizes > 1e-9, columns / np.maximum(sizes, 1e-300), 0.0)


def _slope(table: RunTable) -> Slope | None:
    fit = leave_one_out(table.predictor[:, None], table.response, table.families)
    if fit is None:
        return None
    return Slope(
        value=float(fit.coefficients[0]),
        stderr=float(fit.stderrs[0]),
        reliability=reliability(table.predictor, table.stderrs, table.families),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Tokens to the target of a run that has not reached it.

    Attributes:
        value, low, high: tokens (or steps), jackknife+ over the runs; ends may be 0 or infinite.
        level: of the interval.
        outside: the predictor lies beyond those of the runs that the fit is made of.
    """

    value: float
    low: float
    high: float
    level: float
    outside: bool


def _exponential(logarithm: float) -> float:
    """Tokens; a number beyond all floats is infinite."""
    return math.exp(logarithm) if logarithm < 700 else math.inf


def predict(table: RunTable, at: float, family: str, *, level: float) -> Prediction | None:
    """Tokens to the target of a run with predictor `at`; None where the runs do not determine a line."""
    fitted = table.finite()
    features = fitted.predictor[:, None]
    fit = None if why_only_a_correlation(table) else leave_one_out(features, fitted.response, fitted.families)
    if fit is None or family not in fitted.families:
        return None
    own = np.array([name == family for name in fitted.families])
    slope = float(fit.coefficients[0])
    value = float(fitted.response[own].mean()) + slope * (at - float(fitted.predictor[own].mean()))
    low, high = prediction_interval(
        features, fitted.response, fitted.families, at=np.array([at]), family=family, level=level
    )
    return Prediction(
        value=_exponential(value),
        low=_exponential(low),
        high=_exponential(high),
        level=level,
        outside=not fitted.predictor.min() <= at <= fitted.predictor.max(),
    )
