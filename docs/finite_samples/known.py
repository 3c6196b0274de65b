"""Samples of known spectra, in the sizes at which the statistics are tried.

Eigenvalues of the truth are j^-a. Every draw has a seed of its own, so that each number can be made alone.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch

from spectra_cli.core.types import FloatArray, Site, Spectrum, StatisticValue
from spectra_cli.extract.measurements.gradient_gram import spectra_of_kernel
from spectra_cli.extract.measurements.measurement import Blocks, Measured
from spectra_cli.statistics.noise_scale import noise_scales
from tests.builders.spectra import spectrum, spectrum_of_rows

EXPONENTS = (0.5, 1.0, 1.5)
NUM_PARAMETERS = 8192  # of the matrix whose gradients are drawn
SITE = Site.parse("blocks.0.attn.o")
_BLOCKS = 16


def power_law(size: int, exponent: float) -> FloatArray:
    """(size,) eigenvalues j^-a."""
    return np.arange(1.0, size + 1) ** -exponent


@cache
def activations(width: int, exponent: float, rows_per_dimension: float, draw: int) -> Spectrum:
    """Of the centred covariance of independent Gaussian rows.

    Of n rows it is distributed as L A A^T L / (n - 1), A of Bartlett's decomposition and L the roots of the
    truth: no row need be drawn where there are more of them than dimensions.
    """
    num_rows = round(rows_per_dimension * width)
    rng = np.random.default_rng([1, width, round(100 * exponent), num_rows, draw])
    roots, freedom = np.sqrt(power_law(width, exponent)), num_rows - 1
    if freedom < width:
        factor = rng.standard_normal((freedom, width)) * roots
        values = np.concatenate([np.linalg.eigvalsh(factor @ factor.T)[::-1], np.zeros(width - freedom)])
    else:
        factor = np.tril(rng.standard_normal((width, width)), -1)
        factor += np.diag(np.sqrt(rng.chisquare(freedom - np.arange(width))))
        factor *= roots[:, None]
        values = np.linalg.eigvalsh(factor @ factor.T)[::-1]
    return spectrum(
        np.maximum(values, 0.0) / freedom,
        num_samples=num_rows,
        ambient_dim=width,
        zero_threshold=width * np.finfo(np.float64).eps * float(values[0]) / freedom,
    )


@cache
def gradients(exponent: float, num_sequences: int, draw: int) -> Measured:
    """Both spectra of Gaussian gradients without a mean, from their kernel."""
    rng = np.random.default_rng([2, round(100 * exponent), num_sequences, draw])
    rows = rng.standard_normal((num_sequences, NUM_PARAMETERS))
    rows *= np.sqrt(power_law(NUM_PARAMETERS, exponent))
    return _measured(rows)


@cache
def noise_scale(truth: float, num_sequences: int, draw: int) -> StatisticValue:
    """Of gradients in 64 directions, of which all have the same noise, tr Sigma = 1, |G|^2 = 1 / truth."""
    rng = np.random.default_rng([3, round(truth), num_sequences, draw])
    rows = rng.standard_normal((num_sequences, 64)) / 8.0
    rows[:, 0] += 1.0 / math.sqrt(truth)
    return noise_scales(_measured(rows).scalars, step=None)[0]


def _measured(gradients: FloatArray) -> Measured:
    number, size = gradients.shape
    blocks = Blocks(num_sequences=number, num_blocks=_BLOCKS)
    return spectra_of_kernel(SITE, torch.from_numpy(gradients @ gradients.T), (size, 1), blocks)


@cache
def correlated_rows(correlation: float, rows_per_dimension: float, draw: int) -> Spectrum:
    """Of rows of width 128 in sequences of 32, each row correlated with the one before it."""
    width, length = 128, 32
    rng = np.random.default_rng([4, round(100 * correlation), round(rows_per_dimension), draw])
    innovations = rng.standard_normal((round(rows_per_dimension * width) // length, length, width))
    rows = innovations.copy()
    for place in range(1, length):
        new = math.sqrt(1 - correlation**2) * innovations[:, place]
        rows[:, place] = correlation * rows[:, place - 1] + new
    return spectrum_of_rows(rows.reshape(-1, width) * np.sqrt(power_law(width, 1.0)))


SPIKES = 3
# of a spike, in units of the least that leaves the bulk: (fan_out fan_in)^(1/4) times the scale of entries
SPIKE = 2.0


@cache
def weight(fan_out: int, fan_in: int, num_spikes: int, draw: int) -> Spectrum:
    """Of independent entries of scale 1, with directions of rank one added."""
    rng = np.random.default_rng([5, fan_out, fan_in, num_spikes, draw])
    matrix = rng.standard_normal((fan_out, fan_in))
    left, right = (np.linalg.qr(rng.standard_normal((n, SPIKES)))[0] for n in (fan_out, fan_in))
    strength = SPIKE * (fan_out * fan_in) ** 0.25
    matrix += strength * left[:, :num_spikes] @ right[:, :num_spikes].T
    singular = np.linalg.svd(matrix, compute_uv=False)
    return spectrum(singular**2, "weight", values=singular, num_samples=fan_out, ambient_dim=fan_in)


def soft_rank_of_a_spike(fan_out: int, fan_in: int) -> float:
    """Squared edge of the bulk over the square that a spike comes out with, of large matrices."""
    squared = (SPIKE * (fan_out * fan_in) ** 0.25) ** 2
    largest = (squared + fan_out) * (squared + fan_in) / squared
    return (math.sqrt(fan_out) + math.sqrt(fan_in)) ** 2 / largest


@cache
def pareto(exponent: float, size: int, draw: int) -> Spectrum:
    """Eigenvalues drawn from the density p(x) ~ x^-a above 1."""
    rng = np.random.default_rng([6, round(100 * exponent), size, draw])
    return spectrum(np.sort((1 - rng.random(size)) ** (-1 / (exponent - 1)))[::-1], "weight")
