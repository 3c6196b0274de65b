"""Singular values of weight matrices, with leading vectors where the scan keeps them.

See docs/explanation/estimators.md.
"""

from __future__ import annotations

from functools import partial

from spectra_cli.core.measurements import WEIGHTS as NAME
from spectra_cli.core.types import Skipped, Status
from spectra_cli.extract.measurements.algebra.singular import (
    NonFiniteWeightError,
    SpectraWork,
    leading_singular,
    leading_vectors,
    spectrum_of,
)
from spectra_cli.extract.measurements.measurement import EachMatrix, Measured, ParameterMeasurement, Subject
from spectra_cli.extract.measurements.scope import Memory, Planned, Scope, Views, Work
from spectra_cli.extract.protocols import MatrixView


def weight_spectrum(view: MatrixView, *, num_vectors: int = 0) -> Measured:
    """The spectrum of a weight, fan_out x fan_in, with leading singular vectors; a non-finite one is skipped
    by name.
    """
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


def _start(subject: Subject) -> EachMatrix:
    return EachMatrix(
        views=subject.views, measure=partial(weight_spectrum, num_vectors=subject.settings.num_vectors)
    )


WEIGHT = ParameterMeasurement(
    name=NAME,
    summary="singular values of each weight matrix; with --vectors, its drift from the first checkpoint",
    views=weight_views,
    memory=_memory,
    work=_work,
    settings=("num_vectors",),
    start=_start,
)
