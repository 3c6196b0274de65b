"""Singular values of weight matrices, with leading vectors where the scan keeps them.

See docs/explanation/estimators.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

from spectra_cli.core.measurements import WEIGHTS as NAME
from spectra_cli.core.types import Skipped, Status
from spectra_cli.extract.measurements.algebra.cores import Heard, each_on_a_core, nobody
from spectra_cli.extract.measurements.algebra.singular import (
    NonFiniteWeightError,
    SpectraWork,
    leading_singular,
    leading_vectors,
    spectrum_of,
)
from spectra_cli.extract.measurements.measurement import Measured, ParameterMeasurement, Subject
from spectra_cli.extract.measurements.scope import Memory, Planned, Scope, Views, Work
from spectra_cli.extract.protocols import MatrixView


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSpectra:
    """The spectrum of every view's weight, fan_out x fan_in; non-finite ones are skipped by name.

    Attributes:
        views: which matrices.
        num_vectors: leading singular vectors to keep of each; 0 for none.
    """

    views: tuple[MatrixView, ...]
    num_vectors: int = 0

    def merge(self, other: WeightSpectra) -> WeightSpectra:
        """See `Observer.merge`."""
        return replace(self, views=self.views + other.views)

    def finish(self, heard: Heard = nobody) -> Measured:
        """See `Observer.finish`."""
        size = max((min(view.shape) for view in self.views), default=0)
        own = partial(_measure, num_vectors=self.num_vectors)
        found = each_on_a_core(
            own, self.views, size=size, cost=lambda view: math.prod(view.shape), heard=heard
        )
        return sum(found, Measured())


def _measure(view: MatrixView, *, num_vectors: int) -> Measured:
    weight = view.weight()
    try:
        values, left, right = leading_singular(weight, num_vectors)
    except NonFiniteWeightError as error:
        skipped = Skipped(measurement=NAME, site=view.site, status=Status.NONFINITE, reason=str(error))
        return Measured(skipped=(skipped,))
    vectors = leading_vectors(left, right) if num_vectors else None
    return Measured(spectra=(spectrum_of(view, values, measurement=NAME, vectors=vectors),))


def weight_views(scope: Scope) -> Views:
    """The matrices that the settings name, whether or not they can be tapped."""
    return scope.matrices(NAME)


def _memory(scope: Scope) -> Memory:
    """Work space in float64: the matrix (O, I), its Gram and their factors.

    At worst an SVD, where the Gram is too coarse: two copies, vectors on both sides, LAPACK's own.
    """
    shapes = [view.shape for view in weight_views(scope)[0]]
    largest = max((3 * m * n + 8 * min(m, n) ** 2 for m, n in shapes), default=0)
    at_once = SpectraWork.of(weight_views(scope)[0]).at_once
    return Memory(afterwards=8 * largest * at_once)


def _work(scope: Scope, _planned: Planned) -> tuple[Work, ...]:
    work = SpectraWork.of(weight_views(scope)[0])
    cubes = "vector_cubes" if scope.settings.num_vectors else "weight_cubes"
    return (
        Work(kind="weight_products", amount=work.products, at_once=work.at_once),
        Work(kind=cubes, amount=work.cubes, at_once=work.at_once),
        Work(kind="weight_squares", amount=work.squares, at_once=work.at_once),
    )


def _start(subject: Subject) -> WeightSpectra:
    return WeightSpectra(views=subject.views, num_vectors=subject.settings.num_vectors)


WEIGHT = ParameterMeasurement(
    name=NAME,
    summary="singular values of each weight matrix; with --vectors, its drift from the first checkpoint",
    views=weight_views,
    memory=_memory,
    work=_work,
    start=_start,
)
