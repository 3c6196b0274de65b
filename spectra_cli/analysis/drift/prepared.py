"""A checkpoint made ready to be compared with another one: bases in float64, what is known of its change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from spectra_cli.analysis.subspaces import SEARCHED, orthonormal
from spectra_cli.core.measurements import ACTIVATIONS, WEIGHT_DRIFT, WEIGHTS
from spectra_cli.core.scan_facts import ReferenceFacts
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Spectrum

REFERENCE = "weight_reference"
# Of the subspaces whose overlap with the last checkpoint's is followed (docs/how-to/measure-drift.md).
TRAJECTORY_RANK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """A spectrum with its vectors in float64, ready to be compared."""

    spectrum: Spectrum
    left: FloatArray | None
    right: FloatArray | None

    @property
    def num_kept(self) -> int:
        """Vectors there are."""
        return 0 if self.right is None else len(self.right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A checkpoint ready to be compared.

    Attributes:
        name: key of the checkpoint; digest: of its tensors.
        bases: by measurement and address.
        said: the reference that its change was measured from; None without one.
        numbers: of the change, by name and address; changes: its spectra by address.
        reference: the reference itself, where the scan archived it.
        weights_alone: it is such a reference: nothing else of it was archived.
    """

    name: str
    digest: str
    bases: Mapping[tuple[str, str], Basis]
    said: ReferenceFacts | None = None
    numbers: Mapping[tuple[str, str], float] = field(default_factory=dict)
    changes: Mapping[str, Spectrum] = field(default_factory=dict)
    reference: Prepared | None = None
    weights_alone: bool = False


def prepare(checkpoint: CheckpointSpectra, ranks: Sequence[int]) -> Prepared:
    """A checkpoint, its vectors made orthonormal in float64 as far as these ranks may need them."""
    most = max(math.ceil(rank * (1 + SEARCHED)) for rank in (*ranks, TRAJECTORY_RANK))
    bases = {
        (s.measurement, s.site.address): _basis(s, most)
        for s in checkpoint.spectra
        if s.measurement in (WEIGHTS, ACTIVATIONS)
    }
    said = checkpoint.provenance.execution_facts.reference
    archived = {(WEIGHTS, s.site.address): _basis(s, most) for s in checkpoint.select(REFERENCE)}
    return Prepared(
        name=checkpoint.ref.key,
        digest=checkpoint.info.digest,
        bases=bases,
        said=said,
        numbers={
            (s.name, s.site.address): s.value
            for s in checkpoint.scalars
            if s.measurement == WEIGHT_DRIFT and s.site is not None
        },
        changes={s.site.address: s for s in checkpoint.select(WEIGHT_DRIFT)},
        reference=Prepared(name=said.checkpoint, digest=said.digest, bases=archived, weights_alone=True)
        if archived and said is not None
        else None,
    )


def _basis(spectrum: Spectrum, most: int) -> Basis:
    vectors = spectrum.vectors
    return Basis(
        spectrum=replace(spectrum, vectors=None),
        left=None if vectors is None or vectors.left is None else orthonormal(vectors.left[:most]),
        right=None if vectors is None else orthonormal(vectors.right[:most]),
    )


def is_reference(before: Prepared, after: Prepared) -> bool:
    """Whether the change archived with `after` is the change since `before`."""
    return after.said is not None and after.said.digest == before.digest
