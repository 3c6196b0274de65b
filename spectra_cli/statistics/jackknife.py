"""Standard errors from blocks of the probe: the delete-one-block jackknife.

Source: specs D6 and D6b; unequal blocks: F. Busing, E. Meijer and R. van der Leeden, "Delete-m
jackknife for unequal m", Statistics and Computing 9 (1999), equations 5 to 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from spectra_cli.core.types import FloatArray, Scalar, Spectrum


def delete_one_block(spectrum: Spectrum) -> FloatArray:
    """Eigenvalues of the spectrum without each block in turn, to first order in the block.

        lambda_(b) = (lambda - w_b profile_b) / (1 - w_b),   w_b = n_b / n

    A sampling error can push a small value below zero, where no eigenvalue is: it becomes 0.

    Returns:
        (num_blocks, rank) float64, each row descending; (0, rank) without a block profile or with
        fewer than two blocks. On the eigenvalue scale also for singular values.
    """
    eigenvalues = spectrum.eigenvalues()
    if spectrum.block_profile is None or len(spectrum.block_sizes) < 2:
        return np.empty((0, eigenvalues.size))
    weights = np.array(spectrum.block_sizes, dtype=np.float64)[:, None]
    weights /= weights.sum()
    rows = eigenvalues - weights * spectrum.block_profile
    rows /= 1.0 - weights
    np.maximum(rows, 0.0, out=rows)
    # they are nearly in order, which a stable sort makes use of
    return np.sort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1]


def with_replicates(spectrum: Spectrum) -> FloatArray:
    """(1 + num_blocks, rank): the eigenvalues, then those without each block in turn."""
    return np.concatenate([spectrum.eigenvalues()[None, :], delete_one_block(spectrum)])


def standard_error(per_row: FloatArray, block_sizes: Sequence[int]) -> float:
    """Standard error of a number that was computed on the whole and without each block.

        SE^2 = 1/B sum_b (theta~_b - mean)^2 / (h_b - 1),   h_b = n / n_b,
        theta~_b = h_b theta - (h_b - 1) theta_(b),   mean = B theta - sum_b (1 - 1/h_b) theta_(b)

    With equal blocks this is `SE^2 = (B - 1)/B sum_b (theta_(b) - mean theta_(.))^2`.

    Args:
        per_row: (1 + B,) the whole first, then without each block.
        block_sizes: (B,) samples in each block.

    Returns:
        NaN with fewer than two blocks, or if any of the numbers is NaN.

    >>> round(standard_error(np.array([2.0, 2.5, 2.0, 1.5]), (1, 1, 1)), 12)  # the mean of 1, 2, 3
    0.57735026919
    """
    theta, deleted = per_row[0], per_row[1:]
    if deleted.size < 2:
        return math.nan
    h = _inverse_shares(tuple(block_sizes))
    pseudo = h * theta - (h - 1.0) * deleted
    mean = deleted.size * theta - (1.0 - 1.0 / h) @ deleted
    excess = pseudo - mean
    return math.sqrt(float(excess @ (excess / (h - 1.0))) / deleted.size)


@lru_cache(maxsize=64)
def _inverse_shares(block_sizes: tuple[int, ...]) -> FloatArray:
    sizes = np.array(block_sizes, dtype=np.float64)
    inverse: FloatArray = sizes.sum() / sizes
    return inverse


def scalar_standard_error(scalar: Scalar) -> float:
    """Jackknife standard error of a measured scalar; NaN if it has no replicates."""
    return standard_error(np.concatenate([[scalar.value], scalar.delete_one_block]), scalar.block_sizes)
