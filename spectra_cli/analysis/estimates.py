"""A number with what it becomes without each block of the probe, from which every error follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spectra_cli.core.types import FloatArray
from spectra_cli.statistics.jackknife import standard_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """A number with its delete-one-block values.

    Attributes:
        per_row: (1 + B,) the number, then without each block of the probe.
        block_sizes: (B,) samples a block.
        loss_rows: (1 + L,) the change of the number as the loss moves the point without each block of it, the
            first 0; empty where the loss has the same blocks, and `per_row` holds that change, or no noise.
        loss_sizes: (L,) samples in each block of the loss.
        bend: what interpolation between checkpoints got wrong, as a third one tells, with its sign.
        unbent: how much it may have got wrong where there is no third one, without a sign.
    """

    per_row: FloatArray
    block_sizes: tuple[int, ...]
    loss_rows: FloatArray = field(default_factory=lambda: np.empty(0))
    loss_sizes: tuple[int, ...] = ()
    bend: float = 0.0
    unbent: float = 0.0

    @property
    def value(self) -> float:
        """On the whole probe."""
        return float(self.per_row[0])

    @property
    def stderr(self) -> float:
        """Jackknife standard error; NaN without blocks."""
        return float(EstimatedStack.of([self]).stderr[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EstimatedStack:
    """N numbers of the same blocks, worked out together; (N, ...) each, otherwise as in `Estimated`."""

    per_row: FloatArray
    block_sizes: tuple[int, ...]
    loss_rows: FloatArray
    loss_sizes: tuple[int, ...]
    bend: FloatArray
    unbent: FloatArray

    @classmethod
    def of(cls, numbers: Sequence[Estimated]) -> EstimatedStack:
        """Numbers of the same blocks."""
        return cls(
            per_row=np.array([one.per_row for one in numbers]),
            block_sizes=numbers[0].block_sizes,
            loss_rows=np.array([one.loss_rows for one in numbers]),
            loss_sizes=numbers[0].loss_sizes,
            bend=np.array([one.bend for one in numbers]),
            unbent=np.array([one.unbent for one in numbers]),
        )

    @property
    def stderr(self) -> FloatArray:
        """(N,) standard errors."""
        own = standard_errors(self.per_row, self.block_sizes)
        error: FloatArray = np.hypot(own, loss_errors([self], [1.0]))
        return error


def loss_error(numbers: Sequence[Estimated], weights: Sequence[float]) -> float:
    """Standard error of a sum of numbers from losses whose blocks are not those of the numbers.

    Common noise of losses with the same blocks cancels, as that of the numbers does.
    """
    return float(loss_errors([EstimatedStack.of([one]) for one in numbers], weights)[0])


def loss_errors(numbers: Sequence[EstimatedStack], weights: Sequence[float]) -> FloatArray:
    """(N,) `loss_error` of N sums; of each a number from every stack."""
    moved = [(w, one) for w, one in zip(weights, numbers, strict=True) if one.loss_rows.size]
    if not moved:
        return np.zeros(len(numbers[0].per_row))
    if len({one.loss_sizes for _, one in moved}) == 1:
        rows: FloatArray = np.sum([w * one.loss_rows for w, one in moved], axis=0)
        return standard_errors(rows, moved[0][1].loss_sizes)
    errors = [w * standard_errors(one.loss_rows, one.loss_sizes) for w, one in moved]
    together: FloatArray = np.sqrt(np.square(errors).sum(0))
    return together


def interpolation_error(numbers: Sequence[Estimated], weights: Sequence[float]) -> float:
    """What interpolation may have added to a sum of numbers: runs that bend alike are off alike."""
    return float(interpolation_errors([EstimatedStack.of([one]) for one in numbers], weights)[0])


def interpolation_errors(numbers: Sequence[EstimatedStack], weights: Sequence[float]) -> FloatArray:
    """(N,) `interpolation_error` of N sums; of each a number from every stack."""
    bends = np.array(weights) @ np.array([one.bend for one in numbers])
    error: FloatArray = abs(bends) + np.abs(weights) @ np.array([one.unbent for one in numbers])
    return error
