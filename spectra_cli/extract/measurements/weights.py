"""Singular values of weight matrices, with leading vectors where the scan keeps them.

See docs/explanation/estimators.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from spectra_cli.core.types import FloatArray, Skipped, Spectrum, Status, Vectors
from spectra_cli.extract.measurements.cores import Heard, each_on_a_core, nobody
from spectra_cli.extract.measurements.measurement import Measured, ParameterMeasurement, Subject
from spectra_cli.extract.measurements.reference import Reference
from spectra_cli.extract.measurements.singular import NonFiniteWeightError, leading_singular, spectrum_of
from spectra_cli.extract.measurements.weight_drift import weight_drift
from spectra_cli.extract.protocols import MatrixView

NAME = "weight"
REFERENCE = "weight_reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSpectra:
    """The spectrum of every view's weight, fan_out x fan_in; non-finite ones are skipped by name.

    Attributes:
        views: which matrices.
        num_vectors: leading singular vectors to keep of each; 0 for none.
        reference: weights to compare with; None for no comparison.
    """

    views: tuple[MatrixView, ...]
    num_vectors: int = 0
    reference: Reference | None = None

    def finish(self, heard: Heard = nobody) -> Measured:
        """See `Observer.finish`."""
        number = len(self.views)
        total = number if self.reference is None else 2 * number
        own = partial(_measure, num_vectors=self.num_vectors)
        measured = sum(self._of_each(own, lambda done, _: heard(done, total)), Measured())
        if self.reference is not None:
            drift = partial(weight_drift, reference=self.reference, num_vectors=self.num_vectors)
            measured = sum(self._of_each(drift, lambda done, _: heard(number + done, total)), measured)
            if self.reference.archived:
                measured += Measured(spectra=tuple(self._of_reference(self.reference)))
        return measured

    def _of_each(self, function: Callable[[MatrixView], Measured], heard: Heard) -> list[Measured]:
        size = max((min(view.shape) for view in self.views), default=0)
        return each_on_a_core(
            function, self.views, size=size, cost=lambda view: math.prod(view.shape), heard=heard
        )

    def _of_reference(self, reference: Reference) -> Iterator[Spectrum]:
        """The reference's own spectra, of the weights that were compared."""
        for view in self.views:
            address = view.site.address
            if (weight := reference.weights.get(address)) is None or tuple(weight.shape) != view.shape:
                continue
            with suppress(NonFiniteWeightError):  # the comparison was skipped for it, by name
                found = reference.principal(address, self.num_vectors)
                vectors = _kept(found.left, found.right) if found.left.size else None
                yield spectrum_of(view, found.values, measurement=REFERENCE, vectors=vectors)


def _measure(view: MatrixView, *, num_vectors: int) -> Measured:
    weight = view.weight()
    try:
        values, left, right = leading_singular(weight, num_vectors)
    except NonFiniteWeightError as error:
        skipped = Skipped(measurement=NAME, site=view.site, status=Status.NONFINITE, reason=str(error))
        return Measured(skipped=(skipped,))
    vectors = _kept(left, right) if num_vectors else None
    return Measured(spectra=(spectrum_of(view, values, measurement=NAME, vectors=vectors),))


def _kept(left: FloatArray, right: FloatArray) -> Vectors:
    return Vectors(left=left.T.astype(np.float32), right=right.T.astype(np.float32))


def _start(subject: Subject) -> WeightSpectra:
    return WeightSpectra(
        views=subject.views, num_vectors=subject.settings.num_vectors, reference=subject.reference
    )


WEIGHT = ParameterMeasurement(
    name=NAME,
    summary="singular values of each weight matrix; with --vectors, its drift from the first checkpoint",
    start=_start,
)
