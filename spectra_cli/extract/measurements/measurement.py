"""What every measurement is: it taps a model, watches batches go by, and returns spectra."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from torch import Tensor

from spectra_cli.core.types import Scalar, Skipped, Spectrum
from spectra_cli.extract.protocols import MatrixView


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Sequences `start` to `stop` (exclusive) of the probe, `length` tokens each."""

    start: int
    stop: int
    length: int
    tokens: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """How `num_sequences` are dealt, in order, into jackknife blocks of nearly equal size."""

    num_sequences: int
    num_blocks: int

    @property
    def edges(self) -> tuple[int, ...]:
        """First sequence of each block, and the end: (num_blocks + 1,)."""
        blocks = min(self.num_blocks, self.num_sequences)
        return tuple(self.num_sequences * b // blocks for b in range(blocks + 1))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sequences in each block."""
        edges = self.edges
        return tuple(stop - start for start, stop in pairwise(edges))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a measurement returns for one checkpoint."""

    spectra: tuple[Spectrum, ...] = ()
    scalars: tuple[Scalar, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            spectra=self.spectra + other.spectra,
            scalars=self.scalars + other.scalars,
            skipped=self.skipped + other.skipped,
        )


class BlockObserver(Protocol):
    """Sees the residual stream after chosen blocks, on the device, inside the forward pass."""

    layers: tuple[int, ...]

    def observe(self, layer: int, hidden_BTD: Tensor, batch: Batch) -> None:
        """Reduce `hidden_BTD` at once; it does not outlive this call."""


class GradientObserver(Protocol):
    """Sees input and output gradient of chosen matrices, inside the backward pass."""

    views: tuple[MatrixView, ...]

    def observe(self, view: MatrixView, inputs: Tensor, delta: Tensor, batch: Batch) -> None:
        """Reduce one call of the matrix's module.

        Args:
            view: which matrix.
            inputs: (B, T, I), or token ids (B, T) for an embedding.
            delta: (B, T, O), gradient of the summed per-sequence losses at this matrix's outputs.
            batch: the sequences it belongs to (part of a batch when the head runs in chunks).
        """
