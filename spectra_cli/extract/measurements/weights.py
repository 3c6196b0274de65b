"""Singular values of weight matrices (specs C1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.types import FloatArray, Skipped, Spectrum, SpectrumKind, Status
from spectra_cli.extract.measurements.gram import add_gram_, mirror_upper_
from spectra_cli.extract.measurements.measurement import Measured, ParameterMeasurement
from spectra_cli.extract.protocols import MatrixView

NAME = "weight"
# Below this share of the largest, the square of a singular value drowns in the Gram's rounding.
GRAM_FLOOR = 1e-5


def singular_values(weight: Tensor) -> FloatArray:
    """Singular values of a matrix in float64, descending.

    The eigenvalues of the Gram matrix on the small side are tens of times faster than an SVD and as
    exact for values above `1e-5 sigma_1` (relative error about `n eps (sigma_1 / sigma)^2 / 2`);
    a matrix with smaller ones gets the SVD.

    Args:
        weight: (O, I), finite.
    """
    matrix = weight.detach().to("cpu", torch.float64)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    gram = matrix.new_zeros(matrix.shape[0], matrix.shape[0])
    add_gram_(gram, matrix)
    eigenvalues = torch.linalg.eigvalsh(mirror_upper_(gram)).flip(0)
    if float(eigenvalues[-1]) >= GRAM_FLOOR**2 * float(eigenvalues[0]):
        return np.asarray(eigenvalues.sqrt().numpy(), dtype=np.float64)
    return np.asarray(torch.linalg.svdvals(matrix).numpy(), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSpectra:
    """The spectrum of every view's weight, fan_out x fan_in; non-finite ones are skipped by name."""

    views: tuple[MatrixView, ...]

    def finish(self) -> Measured:
        """See `Observer.finish`."""
        spectra: list[Spectrum] = []
        skipped: list[Skipped] = []
        for view in self.views:
            weight = view.weight()
            if not bool(torch.isfinite(weight).all()):
                bad = int((~torch.isfinite(weight)).sum())
                reason = f"{bad} of {weight.numel()} weights are NaN or infinity"
                skipped.append(
                    Skipped(measurement=NAME, site=view.site, status=Status.NONFINITE, reason=reason)
                )
                continue
            values = singular_values(weight)
            fan_out, fan_in = weight.shape
            spectra.append(
                Spectrum(
                    site=view.site,
                    measurement=NAME,
                    kind=SpectrumKind.SINGULAR_VALUES,
                    values=values,
                    num_samples=fan_out,
                    ambient_dim=fan_in,
                    centered=False,
                    unit="weight_unit",
                    zero_threshold=float(max(fan_out, fan_in) * np.finfo(np.float64).eps * values[0]),
                )
            )
        return Measured(spectra=tuple(spectra), skipped=tuple(skipped))


WEIGHT = ParameterMeasurement(
    name=NAME,
    summary="singular values of each weight matrix",
    start=lambda subject: WeightSpectra(views=subject.views),
)
