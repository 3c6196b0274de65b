"""Standard errors from blocks of the probe: the delete-one-block jackknife.

See docs/explanation/estimators.md; unequal blocks: F. Busing, E. Meijer and R. van der Leeden, "Delete-m
jackknife for unequal m", Statistics and Computing 9 (1999), equations 5 to 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from spectra_cli.core.types import FloatArray, Scalar, Spectrum, SpectrumKind


def delete_one_block(spectrum: Spectrum) -> FloatArray:
    """Eigenvalues of the spectrum without each block in turn, to first order in the block.

        lambda_(b) = (lambda - w_b profile_b) / (1 - w_b),   w_b = n_b / n

    A sampling error can push a small value below zero, where no eigenvalue is: it becomes 0.

    Returns:
        (num_blocks, rank) float64, each row descending; (0, rank) without a block profile or with
        fewer than two blocks. On the eigenvalue scale also for singular values.
    """
    rows: FloatArray = with_replicates(spectrum)[1:]
    return rows


def with_replicates(spectrum: Spectrum) -> FloatArray:
    """(1 + num_blocks, rank): the eigenvalues, then those without each block in turn."""
    rows: FloatArray = stack_with_replicates([spectrum])[0]
    return rows


def stack_with_replicates(spectra: Sequence[Spectrum]) -> FloatArray:
    """(S, 1 + num_blocks, rank): `with_replicates` of spectra of as many values and the same blocks."""
    profiles = [spectrum.block_profile for spectrum in spectra if spectrum.block_profile is not None]
    sizes = spectra[0].block_sizes if profiles else ()
    num_blocks = len(sizes) if len(sizes) > 1 else 0
    stack = np.empty((len(spectra), 1 + num_blocks, spectra[0].values.size))
    for rows, spectrum in zip(stack, spectra, strict=True):
        rows[0] = spectrum.eigenvalues()
    if num_blocks:
        weights = np.array(sizes, dtype=np.float64)[:, None]
        weights /= weights.sum()
        eigenvalues, deleted = stack[:, :1], stack[:, 1:]
        np.multiply(weights, profiles, out=deleted)
        np.subtract(eigenvalues, deleted, out=deleted)
        deleted /= 1.0 - weights
        np.maximum(deleted, 0.0, out=deleted)
        deleted[..., ::-1].sort(axis=-1)
    return stack


def standard_error(per_row: FloatArray, block_sizes: Sequence[int]) -> float:
    """Standard error of a number, (1 + B,), that was computed on the whole and without each block.

    See `standard_errors`.

    >>> round(standard_error(np.array([2.0, 2.5, 2.0, 1.5]), (1, 1, 1)), 12)  # the mean of 1, 2, 3
    0.57735026919
    """
    return float(standard_errors(per_row, block_sizes))


def standard_errors(per_row: FloatArray, block_sizes: Sequence[int]) -> FloatArray:
    """Standard errors of numbers that were computed on the whole and without each block.

        SE^2 = 1/B sum_b (theta~_b - mean)^2 / (h_b - 1),   h_b = n / n_b,
        theta~_b = h_b theta - (h_b - 1) theta_(b),   mean = B theta - sum_b (1 - 1/h_b) theta_(b)

    With equal blocks this is `SE^2 = (B - 1)/B sum_b (theta_(b) - mean theta_(.))^2`.

    Args:
        per_row: (..., 1 + B) the whole first, then without each block.
        block_sizes: (B,) samples in each block.

    Returns:
        (...,) NaN with fewer than two blocks, or where any of the 1 + B is NaN.
    """
    if per_row.shape[-1] < 3:
        return np.full(per_row.shape[:-1], np.nan)
    deviations = (per_row[..., 1:] - per_row[..., :1]) @ deviations_of_blocks(tuple(block_sizes)).T
    errors: FloatArray = np.sqrt((deviations**2).sum(-1))
    return errors


def standard_errors_of_values(spectrum: Spectrum) -> FloatArray:
    """Standard error of each value of a spectrum, on the scale of the values themselves.

    The j-th value without a block is the j-th largest of what is left without it.

    Returns:
        (rank,) NaN without a block profile or with fewer than two blocks.
    """
    rows = with_replicates(spectrum)
    on_its_scale = np.sqrt(rows) if spectrum.kind is SpectrumKind.SINGULAR_VALUES else rows
    return standard_errors(on_its_scale.T, spectrum.block_sizes)


@lru_cache(maxsize=64)
def deviations_of_blocks(block_sizes: tuple[int, ...]) -> FloatArray:
    """(B, B): times `theta_(b) - theta` of all blocks, what each adds to the error.

    That is `(theta~_b - mean) / sqrt(B (h_b - 1))`, whose squares add up to SE^2; it is linear in the values,
    and a constant that is common to all of them cancels.
    """
    sizes = np.array(block_sizes, dtype=np.float64)
    h = sizes.sum() / sizes
    matrix: FloatArray = ((1.0 - 1.0 / h) - np.diag(h - 1.0)) / np.sqrt(h.size * (h - 1.0))[:, None]
    return matrix


def scalar_standard_error(scalar: Scalar) -> float:
    """Jackknife standard error of a measured scalar; NaN if it has no replicates."""
    return standard_error(np.concatenate([[scalar.value], scalar.delete_one_block]), scalar.block_sizes)
