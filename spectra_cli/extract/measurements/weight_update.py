"""Singular values of what an adapter added to each matrix.

A product of rank r has the singular values of an r x r core: with Q R factorisations of both factors,
`scale B A = Q_B (scale R_B R_A^T) Q_A^T`. The columns of Q_B and Q_A are orthonormal, so that the core
holds all of them, and nothing of the size of the matrix is made; where DoRA rescales the sum, its change is.
Shape suffixes: O fan_out, I fan_in, r rank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.measurements import WEIGHT_UPDATES as NAME
from spectra_cli.core.types import FloatArray, Site, Skipped, Status
from spectra_cli.extract.measurements.algebra.cores import Heard, nobody
from spectra_cli.extract.measurements.algebra.singular import (
    NonFiniteWeightError,
    singular_values,
    spectrum_of,
)
from spectra_cli.extract.measurements.measurement import Measured, ParameterMeasurement
from spectra_cli.extract.measurements.scope import Memory, Planned, Scope, Work
from spectra_cli.extract.protocols import MatrixView, Model, Rescaling, WeightUpdate

# Of float64 values, while one update is reduced: of its factors, of DoRA's change, of the square of its side.
_FACTOR_COPIES, _CHANGE_COPIES, _SQUARES = 3, 5, 8

_NO_ADAPTER = "this checkpoint is no adapter: nothing says what was added to its weights"
_NOT_ADAPTED = "the adapter has no low-rank update of this matrix"
_NO_MATRIX = "adapted, but no matrix of this model goes by such a name"


def low_rank_singular_values(left_Or: Tensor, right_rI: Tensor, scale: float) -> FloatArray:
    """Singular values of `scale left right` in float64, descending: min(O, I, r) of them.

    >>> low_rank_singular_values(torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0, 0.0]]), 2.0)
    array([10.])

    Raises:
        NonFiniteWeightError: with how many entries of the factors are NaN or infinite.
    """
    left, right = (factor.detach().to("cpu", torch.float64).numpy() for factor in (left_Or, right_rI))
    bad = int((~np.isfinite(left)).sum() + (~np.isfinite(right)).sum())
    if bad:
        raise NonFiniteWeightError(bad, left.size + right.size)
    r_left, r_right = (np.asarray(np.linalg.qr(factor, mode="r")) for factor in (left, right.T))
    return scale * np.linalg.svd(r_left @ r_right.T, compute_uv=False)


def rescaled_difference(update: WeightUpdate, rescaling: Rescaling) -> Tensor:
    """What DoRA added: the parameter after it less the parameter before, in float64, as it is stored."""
    base = rescaling.base.detach().to("cpu", torch.float64)
    return update.applied_to(base, dtype=torch.float64).sub_(base)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSpectra:
    """The spectrum of each view's update; views without one are skipped by name, and so are updates of
    what is no matrix of the model.
    """

    model: Model
    views: tuple[MatrixView, ...]

    def merge(self, other: UpdateSpectra) -> UpdateSpectra:
        """See `Observer.merge`."""
        return replace(self, views=self.views + other.views)

    def finish(self, heard: Heard = nobody) -> Measured:
        """See `Observer.finish`."""
        updates = self.model.updates
        measured = Measured()
        for number, view in enumerate(self.views, start=1):
            own = (update for name, update in updates.items() if _is(view, name))
            update = None if view.expert is not None else next(own, None)
            if update is None:
                reason = _NOT_ADAPTED if updates else _NO_ADAPTER
                measured += Measured(skipped=(_skipped(view.site, Status.NOT_APPLICABLE, reason),))
            else:
                measured += _measure(view, update)
            heard(number, len(self.views))
        without = (n for n in updates if not any(_is(view, n) for view in self.model.matrices))
        sites = (Site(layer=None, component=name, name=name) for name in without)
        skipped = tuple(_skipped(site, Status.NOT_APPLICABLE, _NO_MATRIX) for site in sites)
        return measured + Measured(skipped=skipped)


def _is(view: MatrixView, name: str) -> bool:
    """Whether `name` is the view's parameter; a model or an adapter may lack the first part of paths."""
    own = (view.site.name, *view.aliases)
    return any(name == other or name.endswith(f".{other}") or other.endswith(f".{name}") for other in own)


def _measure(view: MatrixView, update: WeightUpdate) -> Measured:
    try:
        if update.rescaling is None:
            values = _low_rank(view, update)
        else:
            values = singular_values(view.part_of(rescaled_difference(update, update.rescaling)))
    except NonFiniteWeightError as error:
        return Measured(skipped=(_skipped(view.site, Status.NONFINITE, str(error)),))
    return Measured(spectra=(spectrum_of(view, values, measurement=NAME),))


def _low_rank(view: MatrixView, update: WeightUpdate) -> FloatArray:
    left, right = (update.right.T, update.left.T) if view.transposed else (update.left, update.right)
    if view.rows is not None:
        rows = view.rows.cpu() if isinstance(view.rows, Tensor) else view.rows
        left = left[rows]
    return low_rank_singular_values(left, right, update.scale)


def _skipped(site: Site, status: Status, reason: str) -> Skipped:
    return Skipped(measurement=NAME, site=site, status=status, reason=reason)


def _work(scope: Scope, _planned: Planned) -> tuple[Work, ...]:
    """QR factorisations of both factors, r^2 an entry of their longer sides."""
    factors = [(update.left.shape, update.right.shape) for update in scope.model.updates.values()]
    products = sum(2.0 * left[1] ** 2 * (left[0] + right[1]) for left, right in factors)
    return (Work(kind="weight_products", amount=products),)


def _memory(scope: Scope) -> Memory:
    """Factors, and what DoRA rescales, as they are stored; then the largest update in float64.

    A factor is copied, and once more by its QR factorisation. DoRA's change is as large as the matrix: it,
    what it is the change of, and what an SVD takes (two copies, vectors on both sides, LAPACK's own).
    """
    held = afterwards = 0
    for update in scope.model.updates.values():
        left, right, rescaling = update.left, update.right, update.rescaling
        held += left.nbytes + right.nbytes
        taken = _FACTOR_COPIES * (left.numel() + right.numel())
        if rescaling is not None:
            m, n = rescaling.base.shape
            held += rescaling.magnitude.nbytes + rescaling.base.nbytes
            taken += _CHANGE_COPIES * m * n + _SQUARES * min(m, n) ** 2
        afterwards = max(afterwards, 8 * taken)
    return Memory(throughout={"updates": held} if held else {}, afterwards=afterwards)


WEIGHT_UPDATE = ParameterMeasurement(
    name=NAME,
    summary="singular values of what an adapter added to each weight matrix",
    views=lambda scope: scope.matrices(NAME),
    memory=_memory,
    work=_work,
    start=lambda subject: UpdateSpectra(model=subject.model, views=subject.views),
)
