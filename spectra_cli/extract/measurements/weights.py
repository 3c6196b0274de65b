"""Singular values of weight matrices (specs C1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.types import FloatArray, Skipped, Spectrum, SpectrumKind, Status
from spectra_cli.extract.measurements.cores import each_on_a_core
from spectra_cli.extract.measurements.measurement import Measured, ParameterMeasurement
from spectra_cli.extract.protocols import MatrixView

NAME = "weight"
# Below this share of the largest, the square of a singular value drowns in the Gram's rounding.
GRAM_FLOOR = 1e-5


class NonFiniteWeightError(ValueError):
    """A weight matrix that has no spectrum."""

    def __init__(self, bad: int, size: int) -> None:
        """Of `size` entries, `bad` are NaN or infinite."""
        super().__init__(f"{bad} of {size} weights are NaN or infinity")


def singular_values(weight: Tensor) -> FloatArray:
    """Singular values of a matrix in float64, descending.

    The eigenvalues of the Gram matrix on the small side are several times faster than an SVD and as
    exact for values above `1e-5 sigma_1` (relative error about `n eps (sigma_1 / sigma)^2 / 2`);
    a matrix with smaller ones gets the SVD.

    Args:
        weight: (O, I).

    Raises:
        NonFiniteWeightError: with how many entries are NaN or infinite.
    """
    matrix = weight.detach().to("cpu", torch.float64).numpy()
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    gram = matrix @ matrix.T
    # one look at the diagonal, where every entry of the matrix leaves its square
    if not np.isfinite(gram.trace()) and not np.isfinite(matrix).all():
        raise NonFiniteWeightError(int((~np.isfinite(matrix)).sum()), matrix.size)
    eigenvalues = np.linalg.eigvalsh(gram)[::-1]
    if eigenvalues[-1] >= GRAM_FLOOR**2 * eigenvalues[0]:
        return np.sqrt(eigenvalues)
    return np.linalg.svd(matrix, compute_uv=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSpectra:
    """The spectrum of every view's weight, fan_out x fan_in; non-finite ones are skipped by name."""

    views: tuple[MatrixView, ...]

    def finish(self) -> Measured:
        """See `Observer.finish`."""
        size = max((min(view.shape) for view in self.views), default=0)
        parts = each_on_a_core(_measure, self.views, size=size)
        return sum(parts, Measured())


def _measure(view: MatrixView) -> Measured:
    weight = view.weight()
    try:
        values = singular_values(weight)
    except NonFiniteWeightError as error:
        skipped = Skipped(measurement=NAME, site=view.site, status=Status.NONFINITE, reason=str(error))
        return Measured(skipped=(skipped,))
    return Measured(spectra=(spectrum_of(view, values, measurement=NAME),))


def spectrum_of(view: MatrixView, values: FloatArray, *, measurement: str) -> Spectrum:
    """Singular values of a matrix of the view's shape, as a spectrum."""
    fan_out, fan_in = view.shape
    return Spectrum(
        site=view.site,
        measurement=measurement,
        kind=SpectrumKind.SINGULAR_VALUES,
        values=values,
        num_samples=fan_out,
        ambient_dim=fan_in,
        centered=False,
        unit="weight_unit",
        zero_threshold=float(max(fan_out, fan_in) * np.finfo(np.float64).eps * values[0]),
    )


WEIGHT = ParameterMeasurement(
    name=NAME,
    summary="singular values of each weight matrix",
    start=lambda subject: WeightSpectra(views=subject.views),
)
