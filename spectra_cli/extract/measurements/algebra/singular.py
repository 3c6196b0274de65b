"""Singular values, and leading singular vectors, of a matrix in float64; eigenvalues of symmetric ones.

All are descending; eigenvalues are worked out on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import FloatArray, Spectrum, SpectrumKind, Vectors
from spectra_cli.extract.measurements.algebra.cores import num_workers
from spectra_cli.extract.protocols import MatrixView

# Below this share of the largest, the square of a singular value drowns in the Gram's rounding.
GRAM_FLOOR = 1e-5
# Below this share a Gram's eigenvectors are less exact than the float32 that vectors are kept in.
_VECTOR_FLOOR = 1e-3


def eigenvalue_zero_threshold(largest: float, rows: int, columns: int) -> float:
    """`max(m, n) * eps64 * lambda_1`: eigenvalues at or below it are numerically zero (section 0)."""
    return float(max(rows, columns) * np.finfo(np.float64).eps * max(largest, 0.0))


def symmetric_eigen(matrix: Tensor, *, vectors: bool) -> tuple[FloatArray, Tensor]:
    """Eigenvalues, descending, and eigenvectors as columns in the same order (empty if not asked for).

    Args:
        matrix: (n, n), symmetric; its lower triangle is read.
        vectors: whether eigenvectors are computed.

    Raises:
        ModelError: non-finite entries, or an eigenvalue too negative to be rounding.
    """
    local = matrix.to("cpu", torch.float64)
    if not bool(torch.isfinite(local).all()):
        raise ModelError(
            "a symmetric matrix to be diagonalised holds NaN or infinity, though every sample in it was "
            "finite: the activations or gradients overflow; rerun with --dtype float64 to see where"
        )
    # numpy's LAPACK: torch's was many times slower with two threads on a busy AMD machine
    if vectors:
        ascending, columns = np.linalg.eigh(local.numpy())
    else:
        ascending, columns = np.linalg.eigvalsh(local.numpy()), np.empty(0)
    values = ascending[::-1].copy()
    tolerance = 1e-10 * max(float(values[0]), 0.0)
    if values[-1] < -tolerance and values[-1] < -1e-30:
        raise ModelError(
            f"eigenvalue {values[-1]:.3g} of a positive semi-definite matrix whose largest is "
            f"{values[0]:.3g}; expected none below rounding: please report this checkpoint"
        )
    return values, torch.from_numpy(np.ascontiguousarray(columns[..., ::-1]))


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
    return leading_singular(weight, 0)[0]


def leading_singular(weight: Tensor, num_vectors: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """All singular values, and the leading singular vectors: (min(O, I),), (O, k), (I, k).

    The vectors come from the Gram matrix too, the other side's by one product with the matrix and a QR
    factorisation; where the k-th value is below `1e-3 sigma_1`, from the SVD.

    Args:
        weight: (O, I).
        num_vectors: k at most; fewer where the matrix has fewer.

    Raises:
        NonFiniteWeightError: with how many entries are NaN or infinite.
    """
    matrix = weight.detach().to("cpu", torch.float64).numpy()
    tall = matrix.shape[0] > matrix.shape[1]
    small = matrix.T if tall else matrix
    gram = small @ small.T
    # one look at the diagonal, where every entry of the matrix leaves its square
    if not np.isfinite(gram.trace()) and not np.isfinite(small).all():
        raise NonFiniteWeightError(int((~np.isfinite(small)).sum()), small.size)
    count = min(num_vectors, gram.shape[0])
    if count:
        eigenvalues, axes = np.linalg.eigh(gram)
    else:
        eigenvalues, axes = np.linalg.eigvalsh(gram), np.empty((gram.shape[0], 0))
    eigenvalues, axes = eigenvalues[::-1], axes[:, ::-1][:, :count]
    largest = eigenvalues[0]
    enough = count == 0 or eigenvalues[count - 1] > max(_VECTOR_FLOOR**2 * largest, 0.0)
    if eigenvalues[-1] >= GRAM_FLOOR**2 * largest and enough:
        values = np.sqrt(eigenvalues)
        # columns nearly orthogonal already: the QR keeps their directions, up to sign
        others, triangle = np.linalg.qr(small.T @ axes)
        others = others * np.where(triangle.diagonal() < 0, -1.0, 1.0)
    elif count == 0:
        return np.linalg.svd(small, compute_uv=False), axes, np.empty((small.shape[1], 0))
    else:
        axes, values, rows = np.linalg.svd(small, full_matrices=False)
        axes, others = axes[:, :count], rows[:count].T
    return (values, others, axes) if tall else (values, axes, others)


def spectrum_of(
    view: MatrixView, values: FloatArray, *, measurement: str, vectors: Vectors | None = None
) -> Spectrum:
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
        vectors=vectors,
    )


def leading_vectors(left: FloatArray, right: FloatArray) -> Vectors:
    """Singular vectors (O, k) and (I, k) as an archive keeps them."""
    return Vectors(left=left.T.astype(np.float32), right=right.T.astype(np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectraWork:
    """What the spectra of some matrices (O, I) take: the Gram of the smaller side, and its eigenvalues.

    Attributes:
        products: min(O, I)^2 max(O, I); cubes, squares: of min(O, I); entries: O I; each summed.
        at_once: matrices side by side, one a core.
    """

    products: float
    cubes: float
    squares: float
    entries: float
    at_once: int

    @classmethod
    def of(cls, views: Sequence[MatrixView]) -> SpectraWork:
        """Of the matrices of `views`, from their shapes."""
        sides = [(float(min(view.shape)), float(max(view.shape))) for view in views]
        return cls(
            products=sum(least**2 * most for least, most in sides),
            cubes=sum(least**3 for least, _ in sides),
            squares=sum(least**2 for least, _ in sides),
            entries=sum(least * most for least, most in sides),
            at_once=num_workers(int(max((least for least, _ in sides), default=0))),
        )
