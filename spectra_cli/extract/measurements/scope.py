"""What is asked of a measurement, and what it states that it will take: plans only add this up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import torch

from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Skipped
from spectra_cli.extract.protocols import MatrixView, Model
from spectra_cli.extract.selection import select_layers, select_matrices

Views = tuple[tuple[MatrixView, ...], tuple[Skipped, ...]]
"""The matrices that a measurement looks at, and those asked for that some layers lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A model and what is to be measured of it.

    Attributes:
        model: loaded, or a skeleton where only shapes are read; settings: of the scan.
        layers: chosen ones; device: where it runs.
    """

    model: Model
    settings: ScanSettings
    layers: tuple[int, ...]
    device: torch.device

    @classmethod
    def of(cls, model: Model, settings: ScanSettings, device: torch.device) -> Self:
        """The layers that the settings name, on this model."""
        layers = select_layers(settings.layers, len(model.blocks))
        return cls(model=model, settings=settings, layers=layers, device=device)

    def matrices(self, measurement: str, *, tapped: bool = False) -> Views:
        """Those that the settings name; see `select_matrices`."""
        return select_matrices(
            self.model, self.settings.matrices, self.layers, measurement=measurement, tapped=tapped
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a measurement takes on one checkpoint, in bytes.

    Attributes:
        throughout: from before the first batch to its end, by the part that it is told as.
        forming: while gradients that waited in a pass are reduced, beside them.
        afterwards: once all batches are done, in the room that they left.
    """

    throughout: Mapping[str, int] = field(default_factory=dict)
    forming: int = 0
    afterwards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMember:
    """One matrix of a pass, and whether its gradients wait as factors or dense."""

    address: str
    factored: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a plan settled: the matrices of all passes, and sequences a batch."""

    members: tuple[GradientMember, ...] = ()
    batch_size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An amount of one kind of work (see `planning.work.PARTS`).

    Attributes:
        kind: whose rate it goes by; amount: operations, values, n^3 or n^2, as the kind is counted.
        at_once: how much of it runs side by side, one piece a core.
        bytes_moved: across the memory bus for it, where that counts.
    """

    kind: str
    amount: float
    at_once: int = 1
    bytes_moved: float = 0.0
