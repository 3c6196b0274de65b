"""Eigenvalues of symmetric matrices in float64 on the CPU, descending."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import FloatArray


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
