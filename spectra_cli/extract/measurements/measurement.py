"""What every measurement is: it taps a model, watches batches go by, and returns spectra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Scalar, Skipped, Spectrum
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.cores import Heard, nobody
from spectra_cli.extract.measurements.reference import Reference
from spectra_cli.extract.protocols import MatrixView, Model

# Sequences with NaN or infinity that a number may leave out, and still be called that number.
MAX_DROPPED_SHARE = 0.01


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


class Observer(Protocol):
    """A measurement under way on one checkpoint."""

    def finish(self, heard: Heard = nobody) -> Measured:
        """What was measured; whatever was held for it is let go.

        Args:
            heard: is told how many of how many spectra are done.
        """


class BlockObserver(Observer, Protocol):
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
            delta: (B, T, O), gradient of the summed per-sequence losses at the module's outputs.
            batch: the sequences it belongs to (part of a batch when the head runs in chunks).
        """

    def observe_rows(
        self, view: MatrixView, inputs: Tensor, delta: Tensor, batch: Batch, counts: Sequence[int]
    ) -> None:
        """Reduce one call of an expert, which sees only the tokens routed to it.

        Args:
            view: which matrix.
            inputs: (n, I), sequence after sequence of the batch.
            delta: (n, O).
            batch: the sequences they belong to.
            counts: how many of the n tokens each sequence of the batch has.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a measurement is started on.

    Attributes:
        model: on the device; `settings`: of the scan; `layers`: chosen ones.
        views: matrices to measure (for gradients: those of this pass).
        factored: matrices whose gradients wait as factors, by the plan.
        num_gradient_sequences, length, device: of the passes; arena: where gradients wait.
        reference: weights to compare with; None for no comparison.
    """

    model: Model
    settings: ScanSettings
    layers: tuple[int, ...]
    views: tuple[MatrixView, ...] = ()
    factored: frozenset[MatrixView] = frozenset()
    num_gradient_sequences: int = 0
    length: int = 0
    device: torch.device
    arena: Arena
    reference: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMeasurement:
    """A measurement of the residual stream; it rides on the first pass."""

    name: str
    summary: str
    start: Callable[[Subject], BlockObserver]


class FinishingGradientObserver(GradientObserver, Observer, Protocol):
    """A gradient observer that is a measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMeasurement:
    """A measurement of per-sequence gradients; it is started anew for each group of matrices."""

    name: str
    summary: str
    start: Callable[[Subject], FinishingGradientObserver]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterMeasurement:
    """A measurement of the matrices themselves; it needs no pass."""

    name: str
    summary: str
    start: Callable[[Subject], Observer]


Measurement = BlockMeasurement | GradientMeasurement | ParameterMeasurement
