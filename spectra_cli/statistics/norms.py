"""Norms and conditioning of a matrix from its singular values. See docs/explanation/estimators.md."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectra_cli.core.measurements import WEIGHT_UPDATES, WEIGHTS
from spectra_cli.core.types import FloatArray, Spectrum
from spectra_cli.statistics.statistic import (
    SIZE,
    Estimate,
    Statistic,
    each,
    eigenvalue_threshold,
    of_rows,
    one_by_one,
)


def _frobenius(stack: FloatArray, spectra: Sequence[Spectrum]) -> list[Estimate]:
    return each(np.sqrt(stack.sum(axis=-1)))


def _spectral(rows: FloatArray, spectrum: Spectrum) -> Estimate:
    return of_rows(np.sqrt(rows[:, 0]))


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
    source="a standard definition",
    measurements=(WEIGHTS, WEIGHT_UPDATES),
    function=_frobenius,
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
    source="a standard definition",
    measurements=(WEIGHTS, WEIGHT_UPDATES),
    function=one_by_one(_spectral),
)
CONDITION = Statistic(
    name="condition",
    title="condition number",
    short="condition\nnumber",
    family=SIZE,
    phrase="condition number",
    unit="",
    summary="Largest singular value over the smallest that is not numerically zero.",
    source="a standard definition",
    measurements=(WEIGHTS, WEIGHT_UPDATES),
    function=one_by_one(_condition),
)
