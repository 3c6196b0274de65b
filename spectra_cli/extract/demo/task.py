"""The banded modular-arithmetic task: sequences `t_k = offset + (start + step * k) mod modulus`.

A sequence walks around a band of `modulus` ids that begins at `offset`. Small moduli and offsets are
more frequent (power laws), so that the ids have a skewed distribution, as words have. The next token
follows from the context alone, and not before the walk has wrapped around once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class BandedTask:
    """The distribution of sequences (the toy task of arXiv 2605.05683; its mixtures and noise are off).

    Attributes:
        vocab_size: V ids; sequence_length: T predicted tokens, so T + 1 ids a sequence.
        min_modulus: moduli are min_modulus .. V with P(c) proportional to `c**-modulus_exponent`.
        offset_exponent: offsets are 0 .. V - c with P(o) proportional to `(o + 1)**-offset_exponent`.
        min_step_fraction: steps are at least this fraction of the modulus.
        noncoprime_probability: how often the step becomes a multiple of a divisor of the modulus.
    """

    vocab_size: int = 128
    sequence_length: int = 32
    min_modulus: int = 5
    modulus_exponent: float = 1.3
    offset_exponent: float = 1.2
    min_step_fraction: float = 0.125
    noncoprime_probability: float = 0.3

    def draw(self, rng: np.random.Generator, num_sequences: int) -> NDArray[np.int64]:
        """Sequences (num_sequences, T + 1), one after the other from `rng`."""
        positions = np.arange(self.sequence_length + 1)
        sequences = np.empty((num_sequences, len(positions)), dtype=np.int64)
        for row in sequences:
            modulus = _draw_power_law(rng, self.min_modulus, self.vocab_size, self.modulus_exponent)
            offset = _draw_power_law(rng, 1, self.vocab_size - modulus + 1, self.offset_exponent) - 1
            step = self._draw_step(rng, modulus)
            start = rng.integers(modulus)
            row[:] = offset + (start + step * positions) % modulus
        return sequences

    def _draw_step(self, rng: np.random.Generator, modulus: int) -> int:
        smallest = max(1, int(self.min_step_fraction * modulus))
        step = 1 if smallest >= modulus else int(rng.integers(smallest, modulus))
        if rng.random() < self.noncoprime_probability:
            divisors = [g for g in range(2, isqrt(modulus) + 1) if modulus % g == 0]
            if divisors:
                divisor = divisors[rng.integers(len(divisors))]
                step = max(divisor, min(divisor * (step // divisor), modulus - 1))
        return step


def _draw_power_law(rng: np.random.Generator, low: int, high: int, exponent: float) -> int:
    """An integer k in low .. high (inclusive) with P(k) proportional to `k**-exponent`."""
    support = np.arange(low, high + 1)
    weights = support**-exponent
    return int(rng.choice(support, p=weights / weights.sum()))


def draw_splits(task: BandedTask, *, seed: int, sizes: tuple[int, ...]) -> tuple[NDArray[np.int64], ...]:
    """Training, validation, ... splits of the given sizes, drawn in order from one generator.

    >>> train, validation = draw_splits(BandedTask(), seed=0, sizes=(3, 2))
    >>> train.shape, validation.shape
    ((3, 33), (2, 33))
    """
    rng = np.random.default_rng(seed + 303)
    return tuple(task.draw(rng, size) for size in sizes)
