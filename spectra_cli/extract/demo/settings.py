"""Sizes and choices of a tiny training run, and its task.

That is banded modular arithmetic: sequences `t_k = offset + (start + step * k) mod modulus`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isqrt
from typing import Literal

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What a run is; the defaults take seconds on a laptop and keep the task's properties.

    Attributes:
        task, data_seed: runs of equal ones share their sequences, validation sequences included.
        num_train, num_validation: sequences.
        n_layer, n_head, n_embd: sizes of the decoder; its MLP is twice as wide.
        tied: whether the head is the token embedding, which then starts small.
        batch_size: sequences a step; lr: constant.
        num_steps: at most; target_loss: ends the run at the first saved step whose validation loss is not
            above it.
        save_steps: when to save a checkpoint.
        attention_kernel: `fused`, or torch's `math`: the same function with other roundings.
        stored_dtype: of the weights in the checkpoints.
        save_optimizers: whether checkpoints hold the optimisers' states, or only their settings.
        seed: of the first weights and of the order of the batches.
    """

    task: BandedTask = field(default_factory=BandedTask)
    num_train: int = 4000
    num_validation: int = 2048
    data_seed: int = 0
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 64
    tied: bool = False
    batch_size: int = 64
    lr: float = 1e-3
    num_steps: int = 300
    target_loss: float | None = None
    save_steps: tuple[int, ...] = (0, 25, 50, 100, 200, 300)
    attention_kernel: Literal["fused", "math"] = "fused"
    stored_dtype: Literal["float32", "bfloat16"] = "float32"
    save_optimizers: bool = True
    seed: int = 0
