"""What every measurement is: it taps a model, watches batches go by, and returns spectra."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, Self

from torch import Tensor

from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Scalar, Skipped, Spectrum
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.algebra.cores import Heard, each_on_a_core, nobody
from spectra_cli.extract.measurements.reference import Reference
from spectra_cli.extract.measurements.scope import GradientMember, Memory, Planned, Scope, Views, Work
from spectra_cli.extract.protocols import MatrixView, Probe

# Tokens of each sequence that an expert sees, of those routed to it; None of what sees all.
Counts = Sequence[int] | None
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

    def merge(self, other: Self) -> Self:
        """An observer of all that both saw: of other blocks of sequences, or of other matrices.

        It does not matter in which order several are merged, but for rounding. Neither is used further.
        """

    def finish(self, heard: Heard = nobody) -> Measured:
        """What was measured; whatever was held for it is let go.

        Args:
            heard: is told how many of how many spectra are done.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class EachMatrix:
    """An observer of matrices that are measured one by one, each on a core of its own.

    Attributes:
        views: which matrices; measure: what is measured of one.
        beside: what is told of them together, behind it.
    """

    views: tuple[MatrixView, ...]
    measure: Callable[[MatrixView], Measured]
    beside: Callable[[tuple[MatrixView, ...]], Measured] = lambda _: Measured()

    def merge(self, other: Self) -> Self:
        """See `Observer.merge`."""
        return replace(self, views=self.views + other.views)

    def finish(self, heard: Heard = nobody) -> Measured:
        """See `Observer.finish`."""
        size = max((min(view.shape) for view in self.views), default=0)
        found = each_on_a_core(
            self.measure, self.views, size=size, cost=lambda view: math.prod(view.shape), heard=heard
        )
        return sum(found, Measured()) + self.beside(self.views)


class BlockObserver(Observer, Protocol):
    """Sees the residual stream after chosen blocks, on the device, inside the forward pass."""

    layers: tuple[int, ...]

    def observe(self, layer: int, hidden_BTD: Tensor, batch: Batch) -> None:
        """Reduce `hidden_BTD` at once; it does not outlive this call."""


class PassObserver(Observer, Protocol):
    """Runs the model itself, as often and in whatever way it needs."""

    def run(self, probe: Probe, heard: Heard = nobody) -> None:
        """Pass the probe's sequences through the model.

        Args:
            probe: the tokens.
            heard: is told how many of how many sequences are done, all passes together.
        """


class GradientObserver(Protocol):
    """Sees input and output gradient of chosen matrices, inside the backward pass."""

    views: tuple[MatrixView, ...]

    def observe(
        self, view: MatrixView, inputs: Tensor, delta: Tensor, batch: Batch, counts: Counts = None
    ) -> None:
        """Reduce one call of the matrix's module.

        Args:
            view: which matrix.
            inputs: (B, T, I), or token ids (B, T) for an embedding.
            delta: (B, T, O), gradient of the summed per-sequence losses at the matrix's outputs.
            batch: the sequences it belongs to (part of a batch when the head runs in chunks).
            counts: of an expert, which sees only the n tokens routed to it: how many of them each
                sequence has. Then `inputs` are (n, I), sequence after sequence, and `delta` (n, O).
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject(Scope):
    """What a measurement is started on: a model on the device, and what the plan settled.

    Attributes:
        views: matrices to measure (for gradients: those of this pass).
        factored: matrices whose gradients wait as factors, by the plan.
        num_gradient_sequences, length: of the passes; arena: where gradients wait.
        reference: weights to compare with; None for no comparison.
    """

    views: tuple[MatrixView, ...] = ()
    factored: frozenset[MatrixView] = frozenset()
    num_gradient_sequences: int = 0
    length: int = 0
    arena: Arena
    reference: Reference | None = None


def no_matrices(scope: Scope) -> Views:
    """Of a measurement that looks at none."""
    return (), ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What every measurement states about itself.

    Attributes:
        name: as `measurements` of a run file has it; summary: what it gives.
        memory: what it takes; work: what it does, in amounts of each kind of work.
        views: the matrices that it looks at.
        settings: its own, by field of `ScanSettings`: those that it reads and not every scan does.
        comes_with: the settings that bring it; None where its name does.
    """

    name: str
    summary: str
    memory: Callable[[Scope], Memory]
    work: Callable[[Scope, Planned], tuple[Work, ...]]
    views: Callable[[Scope], Views] = no_matrices
    settings: tuple[str, ...] = ()
    comes_with: Callable[[ScanSettings], bool] | None = None

    def is_asked_by(self, settings: ScanSettings) -> bool:
        """Whether a scan with these settings makes it."""
        return self.name in settings.measurements if self.comes_with is None else self.comes_with(settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMeasurement(Statement):
    """A measurement of the residual stream; it rides on the first pass."""

    start: Callable[[Subject], BlockObserver]


class FinishingGradientObserver(GradientObserver, Observer, Protocol):
    """A gradient observer that is a measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMeasurement(Statement):
    """A measurement of per-sequence gradients; it is started anew for each group of matrices.

    Attributes:
        waits: how the gradients of a matrix wait until the end of its pass.
    """

    start: Callable[[Subject], FinishingGradientObserver]
    waits: Callable[[Scope, MatrixView], GradientMember]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterMeasurement(Statement):
    """A measurement of the matrices themselves; it needs no pass."""

    start: Callable[[Subject], Observer]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassMeasurement(Statement):
    """A measurement that owns its passes: one that the common passes cannot carry."""

    start: Callable[[Subject], PassObserver]


Measurement = BlockMeasurement | GradientMeasurement | ParameterMeasurement | PassMeasurement
