"""Norms and conditioning of a matrix from its singular values. See docs/explanation/estimators.md."""

from __future__ import annotations

import numpy as np

from spectra_cli.core.measurements import WEIGHT_UPDATES, WEIGHTS
from spectra_cli.core.types import FloatArray, Spectrum
from spectra_cli.statistics.statistic import (
    SIZE,
    Estimate,
    Statistic,
    at_once,
    eigenvalue_threshold,
    of_rows,
    one_by_one,
)


def _condition(rows: FloatArray, spectrum: Spectrum) -> Estimate:
    above = rows > eigenvalue_threshold(spectrum)
    smallest = np.where(above, rows, np.inf).min(axis=1)
    return of_rows(np.sqrt(rows[:, 0] / smallest), {"num_zero": float(spectrum.num_zero)})


FROBENIUS_NORM = Statistic(
    name="frobenius_norm",
    title="Frobenius norm",
    short="Frobenius\nnorm",
    family=SIZE,
    phrase="Frobenius norm",
    unit="weight",
    summary="Square root of the sum of squared singular values, in the unit of the weights.",
    measurements=(WEIGHTS, WEIGHT_UPDATES),
    function=at_once(lambda stack: np.sqrt(stack.sum(axis=-1))),
    compared=(WEIGHTS, WEIGHT_UPDATES),
)
SPECTRAL_NORM = Statistic(
    name="spectral_norm",
    title="spectral norm",
    short="spectral\nnorm",
    family=SIZE,
    phrase="spectral norm",
    unit="weight",
    summary="Largest singular value, in the unit of the weights.",
    measurements=(WEIGHTS, WEIGHT_UPDATES),
    function=one_by_one(lambda rows, _: of_rows(np.sqrt(rows[:, 0]))),
)
CONDITION = Statistic(
    name="condition",
    title="condition number",
    short="condition\nnumber",
    family=SIZE,
    phrase="condition number",
    summary="Largest singular value over the smallest that is not numerically zero.",
    measurements=(WEIGHTS, WEIGHT_UPDATES),
    function=one_by_one(_condition),
)
